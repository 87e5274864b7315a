"""One lab at a time, and nothing left of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import hosts
from tests.lab.converged_hosts import remove_saved


@pytest.fixture(scope="module")
def lab() -> Iterator[None]:
    """No lab before a module and none after it."""
    if hosts.hosts():
        pytest.fail("a lab is up on this machine: end it with `fortyninety lab down` first")
    yield
    hosts.down()


@pytest.fixture(scope="session", autouse=True)
def saved() -> Iterator[None]:
    """Hosts are saved by one module for those after it, and not for another run."""
    remove_saved()
    yield
    remove_saved()
