"""A gateway that runs, and the engine behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.gateway.fake_engine import FakeEngine
from tests.unit.gateway.running_gateway import RunningGateway

Gateways = Callable[..., RunningGateway]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An engine that serves."""
    engine = FakeEngine()
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def gateways(engine: FakeEngine, tmp_path: Path) -> Iterator[Gateways]:
    """Start gateways before the engine, each with a policy of its own."""
    running: list[RunningGateway] = []

    def start(**policy: int) -> RunningGateway:
        folder = tmp_path / str(len(running))
        folder.mkdir()
        gateway = RunningGateway(folder, engine, **policy)
        running.append(gateway)
        gateway.start()
        return gateway

    yield start
    for gateway in running:
        gateway.stop()


@pytest.fixture
def gateway(gateways: Gateways) -> RunningGateway:
    """A gateway with the default policy."""
    return gateways()
