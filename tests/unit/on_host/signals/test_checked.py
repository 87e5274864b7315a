"""What the last recorded check says, and what a file that no check wrote says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fortyninety.check.record import records
from fortyninety.check.report import Result
from fortyninety.on_host.signals.checked import CHECKED, read_checked
from fortyninety.on_host.signals.metrics import Samples
from fortyninety.plan import paths as declared


def said(folder: Path, **texts: str) -> list[str]:
    """The samples of a box with these files."""
    paths = {kind: str(folder / kind) for kind in CHECKED}
    for kind, text in texts.items():
        (folder / kind).write_text(text)
    samples = Samples()
    read_checked(samples, paths)
    return [line for line in samples.text().splitlines() if line and not line.startswith("#")]


def result(host: str, outcome: str, area: str = "power") -> Result:
    return Result(host, area, "test_x", outcome, "", "", 0.1)


def test_it_is_read_where_the_controller_has_it_kept() -> None:
    assert CHECKED == {"whole": declared.CHECKED, "partial": declared.CHECKED_IN_PART}


def test_what_a_check_writes_is_said(tmp_path: Path) -> None:
    ended = ["passed"] * 3 + ["failed"] * 2 + ["skipped"]
    texts = records([result("box-1", each) for each in ended], 1795742190.7)
    assert said(tmp_path, partial=texts["box-1"]) == [
        'fortyninety_check_timestamp_seconds{check="partial"} 1795742190',
        'fortyninety_check_tests{check="partial",outcome="passed"} 3',
        'fortyninety_check_tests{check="partial",outcome="failed"} 2',
        'fortyninety_check_tests{check="partial",outcome="skipped"} 1',
    ]


def test_a_host_that_was_not_looked_at_has_nothing_to_keep() -> None:
    results = [
        result("away", "failed", "reach"),
        result("box-1", "passed", "reach"),
        result("box-1", "failed"),
    ]
    assert list(records(results, 1.0)) == ["box-1"]
    assert json.loads(records(results, 1.0)["box-1"]) == {
        "at": 1,
        "passed": 1,
        "failed": 1,
        "skipped": 0,
    }


def test_without_a_recorded_check_nothing_is_said(tmp_path: Path) -> None:
    assert said(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"at": 1}',
        '{"at": -1, "passed": 1, "failed": 0, "skipped": 0}',
        '{"at": 1, "passed": 1, "failed": "0", "skipped": 0}',
        '{"at": 1, "passed": 1, "failed": true, "skipped": 0}',
        '{"at": 1, "passed": 1, "failed": -1, "skipped": 0}',
        '{"at": 1, "passed": 1, "failed": 1e300, "skipped": 0}',
        '{"at": 1, "passed": 1, "failed": 100001, "skipped": 0}',
    ],
)
def test_what_no_check_wrote_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="whole is not what a check writes"):
        said(tmp_path, whole=text)
