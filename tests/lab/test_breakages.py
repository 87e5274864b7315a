"""What breaks a box is named by a host test and shown by drift, and a deploy puts it right.

Many breakages at once, in batches that do not hide each other; `python -m bench.breakages`
does them one by one. One host, converged, in the order of this file.
"""

from __future__ import annotations

import re

import pytest

from lab import stages
from lab.hosts import LabHost
from tests.lab.breakages import ALONE, BREAKAGES
from tests.lab.breaking import INVENTORY, break_host, drift, failing_tests, matching, undo

pytestmark = pytest.mark.lab

# Every deploy restarts the engine after the first two, and the third is what a deploy leaves alone:
# minutes each. Files, which a deploy puts right, are everybody's case.
LEFT_OUT = {"unit", "drop-in", "host"}
BATCHES = list(dict.fromkeys(each.batch for each in BREAKAGES if each.batch not in ALONE))


@pytest.fixture(scope="module")
def host(converged: LabHost) -> LabHost:
    """A host on which every host test passes and a deploy would change nothing."""
    assert failing_tests(converged) == {}
    assert drift(converged) == (0, [])
    return converged


def test_there_are_enough_of_them_and_each_says_what_it_needs_to() -> None:
    briefly = [each for each in BREAKAGES if each.batch in set(BATCHES) - LEFT_OUT]
    assert len(briefly) >= 35
    assert len({each.name for each in BREAKAGES}) == len(BREAKAGES)
    for each in BREAKAGES:
        assert each.mended == (not each.why_not), each.name
        assert each.says or each.drift_says, each.name


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(each, marks=[pytest.mark.exhaustive] if each in LEFT_OUT else [])
        for each in BATCHES
    ],
)
def test_what_breaks_is_named_shown_and_put_right(host: LabHost, batch: str) -> None:
    breakages = [each for each in BREAKAGES if each.batch == batch]
    break_host(host, *breakages)
    messages = failing_tests(host)
    _, shown = drift(host)
    undo(host, *breakages)
    ran = stages.deploy(INVENTORY)
    left = failing_tests(host)
    unnamed = [each.name for each in breakages if each.says and not matching(each.says, messages)]
    unseen = [
        each.name
        for each in breakages
        if each.drift_says and not any(re.search(each.drift_says, line) for line in shown)
    ]
    assert (unnamed, unseen) == ([], []), (messages, shown)
    assert ran.exit_code == 0, ran.output
    assert left == {}, left
