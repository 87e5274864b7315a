"""`pytest tests/host --inventory inventory/prod.py [--limit HOST_OR_GROUP]`: is the box right?

Every test reads the host by the host's own means and compares with the settings; none changes it.
"""

from __future__ import annotations

import pytest
from testinfra.host import Host

from fortyninety.engine_card import EngineCard, load_engine_card
from fortyninety.settings import Settings, parse_settings
from tests.host.inventory_bridge import Box, boxes, connect, disconnect_all


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fortyninety", "hosts of a pyinfra inventory")
    group.addoption("--inventory", help="the pyinfra inventory whose hosts are tested")
    group.addoption(
        "--limit",
        action="append",
        default=[],
        help="only this host or group of the inventory (may be repeated)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "box" not in metafunc.fixturenames:
        return
    inventory = metafunc.config.getoption("--inventory")
    if not inventory:
        raise pytest.UsageError("tests/host needs --inventory, such as inventory/prod.py")
    try:
        found = boxes(inventory)
    except RuntimeError as error:
        raise pytest.UsageError(str(error)) from error
    limit = metafunc.config.getoption("--limit")
    chosen = [box for box in found if box.matches(limit)]
    if not chosen:
        raise pytest.UsageError(
            f"no host of {inventory} matches --limit {' '.join(limit)}; "
            f"it has {', '.join(box.name for box in found)}"
        )
    metafunc.parametrize("box", chosen, ids=[box.name for box in chosen], scope="session")


def pytest_sessionfinish() -> None:
    disconnect_all()


@pytest.fixture(scope="session")
def host(box: Box) -> Host:
    """The host itself."""
    connected = connect(box)
    reached = connected.run("true")
    if reached.rc != 0:
        pytest.fail(f"{box.name} cannot be reached: {reached.stderr.strip()}", pytrace=False)
    return connected


@pytest.fixture(scope="session")
def settings(box: Box) -> Settings:
    """What the host should be like."""
    parsed = parse_settings(box.name, box.data)
    if isinstance(parsed, list):
        pytest.fail("; ".join(str(problem) for problem in parsed), pytrace=False)
    return parsed


@pytest.fixture(scope="session")
def card(settings: Settings) -> EngineCard:
    """What the engine release is like."""
    return load_engine_card(settings.engine)
