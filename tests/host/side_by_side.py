"""Run the tests of several hosts at once: a process for each host, made of this one.

What imports and collection took, it took once. Every process looks at one host and hands its
reports to this one, which counts, prints and writes them as if the tests had run here.
"""

from __future__ import annotations

import multiprocessing
import signal
from itertools import groupby
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

# The plugin that keeps the results of this process and of those made of it.
RESULTS = "fortyninety-results"
_FORK = multiprocessing.get_context("fork")


class _HandsOn:
    """A plugin that hands reports on."""

    def __init__(self, config: pytest.Config, reports: Connection) -> None:
        self._config = config
        self._reports = reports

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hand a report on, as a dictionary."""
        told = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._reports.send(told)


def run_side_by_side(session: pytest.Session, at_once: int) -> None:
    """Run the session's tests, those of `at_once` hosts at a time.

    Raises RuntimeError, after the others have ended, where the process for a host did not end by
    itself: nobody knows then what its other tests would have said.
    """
    groups = groupby(session.items, key=host_of)
    waiting = [(name, list(items)) for name, items in groups]
    looking: dict[Connection, tuple[str, BaseProcess]] = {}
    lost: list[str] = []
    try:
        while waiting or looking:
            while waiting and len(looking) < at_once:
                name, items = waiting.pop(0)
                looking.update([_started(session, name, items)])
            for reports in wait(list(looking)):
                assert isinstance(reports, Connection)
                try:
                    told = reports.recv()
                except EOFError:
                    name, process = looking.pop(reports)
                    process.join()
                    if process.exitcode:
                        lost.append(
                            f"the process that looked at {name} ended with {process.exitcode}"
                        )
                    continue
                _take(session, told)
    finally:
        for _, process in looking.values():
            process.kill()
            process.join()
    if lost:
        raise RuntimeError("; ".join(lost))


def host_of(item: pytest.Item) -> str:
    """The name of the host that a test is for."""
    parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters["box"].name if "box" in parameters else ""


def _started(
    session: pytest.Session, name: str, items: list[pytest.Item]
) -> tuple[Connection, tuple[str, BaseProcess]]:
    reading, writing = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_look, args=(session, items, writing), daemon=True)
    process.start()
    # Or its end would not be seen.
    writing.close()
    return reading, (name, process)


def _look(session: pytest.Session, items: list[pytest.Item], reports: Connection) -> None:
    """Run the tests of one host; this is in a process of its own."""
    # Whoever reads the reports ends this process too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    manager = session.config.pluginmanager
    for telling in ("terminalreporter", RESULTS):
        manager.unregister(name=telling)
    manager.register(_HandsOn(session.config, reports))
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _take(session: pytest.Session, told: dict[str, Any]) -> None:
    hook, config = session.config.hook, session.config
    report = hook.pytest_report_from_serializable(config=config, data=told)
    hook.pytest_runtest_logreport(report=report)
    if session.shouldfail:
        raise session.Failed(str(session.shouldfail))
