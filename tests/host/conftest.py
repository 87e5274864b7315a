"""`pytest tests/host --inventory inventory/prod.py [--limit HOST_OR_GROUP]`: is the box right?

Every test reads the host by the host's own means and compares with the settings; none changes it.
`--at-once 8` looks at eight hosts side by side, `--junitxml FILE` writes a report, and `fortyninety
check` is the same with less to type.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from testinfra.host import Host

from fortyninety.check.report import REACH, Result, table
from fortyninety.fleet.limit import MatchesNothing, limited
from fortyninety.releases.release import Release, known_releases, load_release
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from tests.host.fronts import fronts_before, has_engine, is_front
from tests.host.inventory_bridge import (
    Box,
    boxes,
    cell_members,
    connected,
    disconnect_all,
    unreachable,
)
from tests.host.live_process import LiveProcess, read_live_process
from tests.host.packages import SimulatedUpgrade, simulated
from tests.host.read_before import SIX_DAYS, ReadBefore, path_for
from tests.host.siblings import siblings_of
from tests.host.side_by_side import RESULTS, host_of, run_side_by_side


@dataclass
class Fleet:
    """Every box of the inventory, those that the limit names, and why some cannot be looked at."""

    everyone: tuple[Box, ...]
    chosen: list[Box]
    unreachable: dict[str, str]
    results: list[Result] = field(default_factory=list)

    @property
    def reachable(self) -> list[Box]:
        """The boxes that the tests are for."""
        return [box for box in self.chosen if box.name not in self.unreachable]


# Here and not in the project's configuration, which a wheel does not carry.
MARKERS = (
    "asks: asks the engine on a box, which of a cell only the head answers",
    "load: keeps the engine busy for seconds",
    "real_card: needs a GPU that computes; skipped where the engine is built for the CPU",
    "slow: hashes what is large; `--quick` leaves it out",
)

# Areas that are about an engine, a card or a model.
OF_AN_ENGINE = {
    *("driver", "driver_kept", "cuda", "python", "engine", "snapshot", "power", "service"),
    *("sandbox", "serving", "tenants", "cell"),
}

FLEET = pytest.StashKey[Fleet]()
MESSAGE = pytest.StashKey[str]()
# When that was read which a test believes, in seconds since 1970.
READ_AT = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fortyninety", "hosts of a pyinfra inventory")
    group.addoption("--inventory", help="the pyinfra inventory whose hosts are tested")
    group.addoption(
        "--limit",
        action="append",
        default=[],
        help="only this host or group of the inventory (may be repeated)",
    )
    group.addoption("--at-once", type=int, default=1, help="how many hosts are tested side by side")
    group.addoption(
        "--read-all", action="store_true", help="read what is large again, written to or not"
    )
    group.addoption("--results", help="a file that gets each result as a line of JSON")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    _look_around(config)


def _look_around(config: pytest.Config) -> None:
    """Learn, once, which hosts there are and which of them can be looked at."""
    inventory = config.getoption("--inventory")
    if not inventory or FLEET in config.stash:
        return
    try:
        everyone = boxes(inventory)
        chosen = limited(everyone, config.getoption("--limit"))
    except (RuntimeError, MatchesNothing) as error:
        raise pytest.UsageError(str(error)) from error
    wrong = _wrong_settings(chosen)
    reasons = unreachable([box for box in chosen if box.name not in wrong])
    config.stash[FLEET] = Fleet(everyone, chosen, wrong | reasons)


def _wrong_settings(chosen: list[Box]) -> dict[str, str]:
    """Why it is not known what a box should be like, by name."""
    parsed = {box.name: parse_settings(box.name, box.data) for box in chosen}
    wrong = {
        name: "\n".join(str(problem) for problem in found)
        for name, found in parsed.items()
        if isinstance(found, list)
    }
    known = known_releases()
    for name, found in parsed.items():
        if isinstance(found, Settings) and found.engine not in known:
            wrong[name] = f"engine is {found.engine!r}; expected one of {', '.join(known)}"
    return wrong


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without a host for them there are no tests, and none skipped."""
    if FLEET not in config.stash or not collection_path.name.startswith("test_"):
        return None
    fleet = config.stash[FLEET]
    if collection_path.name == f"test_{REACH}.py":
        return None
    area = collection_path.stem.removeprefix("test_")
    return None if any(_is_about(area, box, fleet) for box in fleet.reachable) else True


def _is_about(area: str, box: Box, fleet: Fleet) -> bool:
    """Whether the tests of an area are for a box."""
    if area in OF_AN_ENGINE and not has_engine(box):
        return False
    only: dict[str, Callable[[], bool]] = {
        "cell": lambda: bool(cell_members(box, fleet.everyone)),
        "firewall": lambda: _has_firewall(box),
        "front": lambda: is_front(box),
        "fronted": lambda: bool(fronts_before(box, fleet.everyone)),
        "gateway": lambda: _has_gateway(box, fleet),
        "monitor": lambda: "monitor" in box.data["roles"],
        "siblings": lambda: bool(siblings_of(box, fleet.reachable)),
        "signals": lambda: box.data.get("signals") is True,
        "tenants": lambda: _keeps_apart(box, fleet),
        "address": lambda: bool(box.data.get("virtual_address")),
    }
    return area not in only or only[area]()


def _has_firewall(box: Box) -> bool:
    return box.data.get("firewall") is True


def _keeps_apart(box: Box, fleet: Fleet) -> bool:
    """Whether a box has a gateway and an engine with salts, of a cell its head."""
    if not has_engine(box):
        return False
    lets_in = box.data.get("gateway") is True or fronts_before(box, fleet.everyone)
    release = load_release(box.data["engine"]) if lets_in else None
    wanted = release is not None and release.cache_salt is not None
    answers = cell_members(box, fleet.everyone)[:1] in ([], [box])
    return wanted and answers and box.data.get("tenant_isolation") is True


def _has_gateway(box: Box, fleet: Fleet) -> bool:
    """Whether a box lets people in by itself: of a cell only the head, and no front."""
    is_head = cell_members(box, fleet.everyone)[:1] in ([], [box])
    asked = bool(box.data.get("gateway")) and not is_front(box)
    return asked and is_head and has_engine(box)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "box" not in metafunc.fixturenames:
        return
    if FLEET not in metafunc.config.stash:
        raise pytest.UsageError("tests/host needs --inventory, such as inventory/prod.py")
    fleet = metafunc.config.stash[FLEET]
    area = Path(str(metafunc.module.__file__)).stem.removeprefix("test_")
    chosen = fleet.chosen if area == REACH else fleet.reachable
    chosen = [box for box in chosen if _is_about(area, box, fleet)]
    if "members" in metafunc.fixturenames:
        chosen = [box for box in chosen if cell_members(box, fleet.everyone)]
    if metafunc.definition.get_closest_marker("asks"):
        chosen = [box for box in chosen if cell_members(box, fleet.everyone)[:1] in ([], [box])]
    parameters = [pytest.param(box, id=box.name) for box in chosen]
    metafunc.parametrize("box", parameters, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A host's tests stay together, for they share its connection and what was read of it.

    What asks its engine comes last, and of that what keeps it busy, so that nothing is read while
    it is: vLLM's processes look for more to do for a second after an answer, at full speed.
    """
    order: dict[str, int] = {}

    def place(item: pytest.Item) -> tuple[int, bool, bool]:
        first = order.setdefault(host_of(item), len(order))
        asks, load = (item.get_closest_marker(each) is not None for each in ("asks", "load"))
        return first, asks or load, load

    items.sort(key=place)


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Several hosts at once, where that is asked for; else as pytest does it."""
    at_once = session.config.getoption("--at-once")
    if at_once < 2 or session.config.option.collectonly or session.testsfailed:
        return None
    run_side_by_side(session, at_once)
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("real_card") is None:
        return
    box = item.callspec.params["box"]  # type: ignore[attr-defined]
    engine = str(box.data.get("engine"))
    if load_release(engine).device == "cpu":
        pytest.skip(f"engine {engine} computes on the CPU: there is no card to measure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """A failure says what was found, expected and to be done, and no line of Python."""
    report = yield
    if FLEET not in item.config.stash or "box" not in getattr(item, "fixturenames", ()):
        return report
    message = ""
    if call.excinfo is not None and report.outcome == "failed":
        message = _message(call.excinfo)
        if isinstance(call.excinfo.value, AssertionError):
            report.longrepr = f"{message}\n{_meaning(item)}"
    elif report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        message = str(report.longrepr[2]).removeprefix("Skipped: ")
    # A test has several reports, and the last of them goes into JUnit's.
    item.stash[MESSAGE] = message or item.stash.get(MESSAGE, "")
    test: Any = item
    report.user_properties = [
        ("host", test.callspec.params["box"].name),
        ("area", Path(item.path).stem.removeprefix("test_")),
        ("meaning", _meaning(item)),
        ("message", item.stash[MESSAGE]),
        ("read_at", item.stash.get(READ_AT, None)),
    ]
    return report


def _meaning(item: Any) -> str:
    """What goes wrong for the user: the test's own sentence."""
    return " ".join((item.function.__doc__ or "").split())


def _message(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    said = str(excinfo.value)
    if isinstance(excinfo.value, (AssertionError, pytest.fail.Exception)):
        # pytest adds the expression that was false.
        return said.partition("\nassert ")[0].strip()
    return f"the test itself came to no end: {excinfo.typename}: {said}"


class Results:
    """Keeps the result of every test, whichever process ran it."""

    def __init__(self, config: pytest.Config) -> None:
        self._results = config.stash[FLEET].results
        self._path = config.getoption("--results")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a report says, in a line of the file that was asked for too."""
        if report.when != "call" and report.passed:
            return
        told = dict(report.user_properties)
        if "host" not in told:
            return
        result = Result(
            host=str(told["host"]),
            area=str(told["area"]),
            test=report.nodeid.rpartition("::")[2].partition("[")[0],
            outcome=report.outcome,
            meaning=str(told["meaning"]),
            message=str(told["message"]),
            seconds=round(report.duration, 3),
            read_at=told["read_at"],  # type: ignore[arg-type]
        )
        self._results.append(result)
        if self._path:
            with Path(self._path).open("a") as lines:
                lines.write(result.to_line() + "\n")


def pytest_sessionstart(session: pytest.Session) -> None:
    if FLEET in session.config.stash:
        session.config.pluginmanager.register(Results(session.config), RESULTS)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The short table per host."""
    if FLEET in config.stash and (results := config.stash[FLEET].results):
        terminalreporter.section("hosts")
        shown = table(results)
        terminalreporter.write_line(shown if terminalreporter.hasmarkup else unstyle(shown))


def pytest_unconfigure(config: pytest.Config) -> None:
    if FLEET in config.stash:
        disconnect_all()


@pytest.fixture(scope="session")
def host(box: Box) -> Iterator[Host]:
    """The host itself."""
    with connected(box) as host:
        yield host


@pytest.fixture(scope="session")
def began() -> float:
    """When this check began, in seconds since 1970."""
    return time.time()


@pytest.fixture
def before(box: Box, host: Host, began: float, request: pytest.FixtureRequest) -> ReadBefore:
    """What was read of the host before, by this check or, but for `--read-all`, an earlier one."""

    def tell(read_at: float) -> None:
        if read_at < began:
            request.node.stash[READ_AT] = read_at

    path = path_for(box.name, f"{box.address}:{box.data.get('ssh_port')}")
    oldest = began if request.config.getoption("--read-all") else began - SIX_DAYS
    return ReadBefore(host, path, oldest, tell)


@pytest.fixture(scope="session")
def why_not(box: Box, request: pytest.FixtureRequest) -> str | None:
    """Why the host cannot be looked at, if it cannot."""
    return request.config.stash[FLEET].unreachable.get(box.name)


@pytest.fixture(scope="session")
def settings(box: Box) -> Settings:
    """What the host should be like."""
    parsed = parse_settings(box.name, box.data)
    assert isinstance(parsed, Settings), "hosts whose settings are wrong have no other tests"
    return parsed


@pytest.fixture(scope="session")
def everyone(request: pytest.FixtureRequest) -> tuple[Box, ...]:
    """Every host of the inventory."""
    return request.config.stash[FLEET].everyone


@pytest.fixture(scope="session")
def fronts(box: Box, everyone: tuple[Box, ...]) -> list[Box]:
    """Those that let people in to the box."""
    return fronts_before(box, everyone)


@pytest.fixture(scope="session")
def peers(box: Box, everyone: tuple[Box, ...]) -> list[Box]:
    """Those to which the box hands its model on."""
    able = [each for each in everyone if has_engine(each) and each.data["snapshot_peers"]]
    return [each for each in able if each != box] if box in able else []


@pytest.fixture(scope="session")
def members(box: Box, request: pytest.FixtureRequest) -> list[Box]:
    """The boxes of the host's cell, the head first."""
    return cell_members(box, request.config.stash[FLEET].everyone)


@pytest.fixture(scope="session")
def siblings(box: Box, request: pytest.FixtureRequest) -> list[Box]:
    """The boxes that are looked at as well and are to serve the same."""
    return siblings_of(box, request.config.stash[FLEET].reachable)


@pytest.fixture(scope="session")
def release(settings: Settings) -> Release:
    """What the engine release is like."""
    return load_release(settings.engine)


@pytest.fixture(scope="session")
def process(host: Host) -> LiveProcess:
    """The process that serves."""
    return read_live_process(host)


@pytest.fixture
def simulated_upgrade(host: Host, before: ReadBefore) -> SimulatedUpgrade:
    """What apt says that it would do if everything were upgraded."""
    return simulated(host, before)
