"""What a deploy begins ahead of its stages fails, and is left, as if its stage had begun it."""

from __future__ import annotations

import re

import pytest

from fortyninety.plan.paths import DRIVER_PREFERENCES
from lab.hosts import LabHost
from lab.hub.larger_model import larger_model
from lab.question import ask
from lab.tiny_model import SENTENCE
from tests.lab.deploys import deploy

pytestmark = pytest.mark.lab


@pytest.fixture
def without_model(converged: LabHost) -> LabHost:
    """A host that serves, without its model."""
    converged.ssh("rm -rf /srv/models", check=True)
    return converged


def converges(box: LabHost) -> None:
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output
    assert ask(box, "Say hello.")[1] == SENTENCE


def test_a_host_that_fails_meanwhile_waits_for_no_model(without_model: LabHost) -> None:
    """Two gigabytes that take a quarter of an hour, and a stage that fails at once."""
    box = without_model
    in_the_way = f"rm -f {DRIVER_PREFERENCES} && mkdir -p {DRIVER_PREFERENCES}/in-the-way"
    box.ssh(in_the_way, check=True)
    with larger_model(box.choice.model, 2 * 10**9, megabits=20) as inventory:
        ran = deploy(inventory=str(inventory))
    box.ssh(f"rm -r {DRIVER_PREFERENCES}", check=True)
    assert ran.exit_code != 0 and DRIVER_PREFERENCES in ran.output, ran.output
    # Its stage, which waits for it, was not reached.
    assert "Begin to fetch" in ran.output and "Snapshot |" not in ran.output, ran.output
    assert "Traceback" not in ran.output, ran.output
    begun = box.ssh("ls -d /srv/models/*/.partial-* /srv/models/*/.incoming-*")
    assert begun.stdout, "nothing was begun ahead"
    assert box.ssh("ls /srv/models/*/*/.fortyninety-manifest").returncode != 0
    converges(box)


@pytest.mark.exhaustive  # as in tests/unit/fleet/begun_snapshot.py; the hub is tried for a minute
def test_what_fails_ahead_is_said_in_its_own_stage(without_model: LabHost) -> None:
    ran = deploy("--data", "hub_endpoint=http://10.90.0.250:1")
    assert ran.exit_code != 0 and "10.90.0.250" in ran.output, ran.output
    last = re.findall("Starting operation: (.*)", ran.output)[-1]
    assert last.startswith("Snapshot | Fetch and verify"), ran.output
    converges(without_model)
