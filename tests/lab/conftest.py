"""One lab at a time, and nothing left of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import hosts
from lab.hosts import LabHost
from tests.lab.converged_hosts import forget_earlier, forget_own, start_converged
from tests.lab.deploys import deploy

# What comes first and in this order: the modules that look at one converged host take it over from
# each other.
IN_ORDER = [
    "test_first_deploy.py",
    "test_check.py",
    "test_drift.py",
    "test_breakages.py",
    "test_deploy.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first deploy before the other modules here: they start from the host that it makes."""
    here = Path(__file__).parent
    own = [item for item in items if here in item.path.parents]
    place = {name: number for number, name in enumerate(IN_ORDER)}
    own.sort(key=lambda item: place.get(item.path.name, len(place)))
    items[:] = [*(item for item in items if here not in item.path.parents), *own]


@pytest.fixture(scope="session")
def shared() -> Iterator[list[LabHost]]:
    """The converged host that is up, if there is one: one module leaves it to the next."""
    up: list[LabHost] = []
    yield up
    if up:
        hosts.down()


@pytest.fixture(scope="module")
def lab(shared: list[LabHost]) -> Iterator[None]:
    """No lab before a module and none after it."""
    if shared:
        hosts.down()
        shared.clear()
    _refuse_another()
    yield
    hosts.down()
    # A module may have asked for the shared host as well, which ended with the others.
    shared.clear()


@pytest.fixture(scope="module")
def converged(shared: list[LabHost]) -> LabHost:
    """A host that serves, and that a deploy would change nothing on."""
    if not shared:
        _refuse_another()
        shared += start_converged(1)
    # Also after a module that failed in the middle: what it left is put right, or said.
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    return shared[0]


@pytest.fixture(scope="module")
def pair(lab: None) -> list[LabHost]:
    """Two hosts with a card each, each serving by itself, as the settings have them now."""
    del lab
    started = start_converged(2)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    return started


def _refuse_another() -> None:
    if hosts.hosts():
        pytest.fail("a lab is up on this machine: end it with `fortyninety lab down` first")


@pytest.fixture(scope="session", autouse=True)
def saved() -> Iterator[None]:
    """Hosts are saved by one module for those after it, and for the next run where it is asked."""
    forget_earlier()
    yield
    forget_own()
