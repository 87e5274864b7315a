"""`pytest tests/host --inventory inventory/prod.py [--limit HOST_OR_GROUP]`: is the box right?

Every test reads the host by the host's own means and compares with the settings; none changes it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from testinfra.host import Host

from fortyninety.engine_card import EngineCard, load_engine_card
from fortyninety.settings import Settings, parse_settings
from tests.host.inventory_bridge import Box, boxes, cell_members, connect, disconnect_all


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fortyninety", "hosts of a pyinfra inventory")
    group.addoption("--inventory", help="the pyinfra inventory whose hosts are tested")
    group.addoption(
        "--limit",
        action="append",
        default=[],
        help="only this host or group of the inventory (may be repeated)",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests of cells are for boxes that are in one: elsewhere there are none, and none skipped."""
    if collection_path.name != "test_cell.py" or not config.getoption("--inventory"):
        return None
    found, chosen = _chosen(config)
    return True if not any(cell_members(box, found) for box in chosen) else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "box" not in metafunc.fixturenames:
        return
    found, chosen = _chosen(metafunc.config)
    if "members" in metafunc.fixturenames:
        chosen = [box for box in chosen if cell_members(box, found)]
    if metafunc.definition.get_closest_marker("asks"):
        chosen = [box for box in chosen if cell_members(box, found)[:1] in ([], [box])]
    metafunc.parametrize("box", chosen, ids=[box.name for box in chosen], scope="session")


def _chosen(config: pytest.Config) -> tuple[tuple[Box, ...], list[Box]]:
    """Every box of the inventory, and those that the limit names."""
    inventory = config.getoption("--inventory")
    if not inventory:
        raise pytest.UsageError("tests/host needs --inventory, such as inventory/prod.py")
    try:
        found = boxes(inventory)
    except RuntimeError as error:
        raise pytest.UsageError(str(error)) from error
    limit = config.getoption("--limit")
    chosen = [box for box in found if box.matches(limit)]
    if not chosen:
        raise pytest.UsageError(
            f"no host of {inventory} matches --limit {' '.join(limit)}; "
            f"it has {', '.join(box.name for box in found)}"
        )
    return found, chosen


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
def members(box: Box, request: pytest.FixtureRequest) -> list[Box]:
    """The boxes of the host's cell, the head first."""
    return cell_members(box, boxes(request.config.getoption("--inventory")))


@pytest.fixture(scope="session")
def card(settings: Settings) -> EngineCard:
    """What the engine release is like."""
    return load_engine_card(settings.engine)
