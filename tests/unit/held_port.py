"""Ports of loopback that nobody else is given while a test has them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def held_port() -> Iterator[int]:
    """A port that is bound and does not listen: who connects is refused.

    A server that a test starts may bind it too, since servers set SO_REUSEADDR; of a free port that
    it chooses the kernel takes none that is bound.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that nobody listens on."""
    with held_port() as port:
        yield port
