"""What a rollout brings under load beside a flag: a commit, an environment, a driver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import hosts
from lab.hub import hub_process
from lab.sources import nvidia_repository
from lab.sources.nvidia_repository import Repository
from tests.lab.other_lock import other_lock, project_copy
from tests.lab.rolling_out import Fleet, phases

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

DONE = ["done", "done", "done"]


@pytest.fixture(scope="module")
def fleet(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three boxes behind a front, and somebody who asks it."""
    del lab
    yield Fleet.started(3, tmp_path_factory.mktemp("rollout"))
    hosts.down()


def on_each(fleet: Fleet, command: str) -> set[str]:
    """What the boxes say, each once."""
    return {box.ssh(command, check=True).stdout.strip() for box in fleet.boxes}


def test_another_commit_of_the_model(fleet: Fleet) -> None:
    process = "/proc/$(systemctl show -P MainPID vllm)/cmdline"
    served = f"basename $(tr '\\0' '\\n' <{process} | grep -m1 /srv/)"
    before = on_each(fleet, served)
    (hub_process.root_directory() / fleet.client.model / "README.md").write_text("another one\n")
    with fleet.asked_meanwhile():
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (0, DONE), result
    assert len(before | on_each(fleet, served)) == 2 and fleet.drained() == []


def test_another_environment(fleet: Fleet, tmp_path: Path) -> None:
    live = "readlink /opt/fortyninety/engines/current"
    before = on_each(fleet, live)
    project = project_copy(tmp_path)
    other_lock(project)
    with fleet.asked_meanwhile():
        code, result = replace(fleet, project=project).roll_out()
        assert (code, phases(result)) == (0, DONE), result
        assert len(before | on_each(fleet, live)) == 2 and fleet.drained() == []
        # And back to the lock of this tree, whose environment is there still.
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (0, DONE), result
    assert on_each(fleet, live) == before


@pytest.fixture
def repository(fleet: Fleet, tmp_path: Path) -> Iterator[Repository]:
    """A repository like NVIDIA's with branches 550 and 580, which every box reaches."""
    made = Repository(tmp_path, "debian13")
    borrowed = nvidia_repository.borrow(fleet.boxes[0])
    for version in ("550.163.01", "580.126.09"):
        made.add(*nvidia_repository.driver(version, borrowed), borrowed=borrowed)
    made.add(nvidia_repository.toolkit("12.4"), nvidia_repository.toolkit("13.0"))
    for box in fleet.boxes:
        nvidia_repository.reach_directly(box)
    with made.serving():
        yield made


def test_another_driver_and_its_reboots(fleet: Fleet, repository: Repository) -> None:
    boots = [box.boots for box in fleet.boxes]
    fleet.is_to_have(
        nvidia_repository=repository.address,
        nvidia_repository_key=repository.fingerprint,
        driver_branch=580,
    )
    with fleet.asked_meanwhile():
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (0, DONE), result
    assert [box.boots for box in fleet.boxes] == [before + 1 for before in boots]
    assert on_each(fleet, "nvidia-smi --query-gpu=driver_version --format=csv,noheader") == {
        "580.126.09"
    }
    assert fleet.drained() == []
