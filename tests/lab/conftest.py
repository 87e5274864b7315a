"""One lab at a time, and nothing left of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import hosts
from lab.hosts import LabHost
from tests.lab.converged_hosts import forget_earlier, forget_own, start_converged
from tests.lab.deploys import deploy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first deploy before the other modules here: they start from the host that it makes."""
    here = Path(__file__).parent
    own = [item for item in items if here in item.path.parents]
    own.sort(key=lambda item: item.path.name != "test_first_deploy.py")
    items[:] = [*(item for item in items if here not in item.path.parents), *own]


@pytest.fixture(scope="module")
def lab() -> Iterator[None]:
    """No lab before a module and none after it."""
    if hosts.hosts():
        pytest.fail("a lab is up on this machine: end it with `fortyninety lab down` first")
    yield
    hosts.down()


@pytest.fixture(scope="module")
def converged(lab: None) -> LabHost:
    """A host that serves, and that a deploy would change nothing on."""
    del lab
    (host,) = start_converged(1)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    return host


@pytest.fixture(scope="session", autouse=True)
def saved() -> Iterator[None]:
    """Hosts are saved by one module for those after it, and for the next run where it is asked."""
    forget_earlier()
    yield
    forget_own()
