"""The hosts' tests run in a process for each, and are told as if they had run in one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fortyninety.checkout import ROOT

CONFTEST = """
from types import SimpleNamespace
import pytest
from tests.host.side_by_side import RESULTS, run_side_by_side

class Results:
    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            print("told", report.nodeid.rpartition("::")[2], report.outcome, sep=":")

def pytest_sessionstart(session):
    session.config.pluginmanager.register(Results(), RESULTS)

def pytest_generate_tests(metafunc):
    boxes = [SimpleNamespace(name=name) for name in ("one", "two", "three")]
    metafunc.parametrize("box", boxes, ids=[box.name for box in boxes], scope="session")

def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.callspec.params["box"].name)

def pytest_runtestloop(session):
    run_side_by_side(session, 3)
    return True
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A folder for tests of three hosts."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def ran(suite: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a run of these tests ends with and says."""
    (suite / "test_own.py").write_text(tests)
    words = ["-m", "pytest", str(suite), "-q", "-s", "-p", "no:xdist", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, *words, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_each_host_has_a_process_of_its_own_beside_the_others(suite: Path) -> None:
    """Nobody gets through before all have come."""
    pids = suite / "pids"
    pids.mkdir()
    asked = ran(
        suite,
        f"""
import os, time
from pathlib import Path

def test_first(box):
    (Path({str(pids)!r}) / str(os.getpid())).touch()
    end = time.monotonic() + 600
    while len(os.listdir({str(pids)!r})) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(os.listdir({str(pids)!r})) == 3

def test_second(box):
    assert (Path({str(pids)!r}) / str(os.getpid())).exists()
""",
    )
    assert asked.returncode == 0, asked.stdout
    told = [line for line in asked.stdout.splitlines() if "told:" in line]
    assert len(told) == 6 and "6 passed" in asked.stdout


def test_what_fails_there_is_told_here_in_the_junit_report_too(suite: Path) -> None:
    report = suite / "report.xml"
    tests = "def test_it(box):\n    assert box.name != 'two', 'found two; expected another'\n"
    asked = ran(suite, tests, f"--junitxml={report}")
    assert asked.returncode == 1 and "1 failed, 2 passed" in asked.stdout
    assert "told:test_it[two]:failed" in asked.stdout
    cases = {
        case.get("name"): case.find("failure")
        for case in ElementTree.parse(report).iter("testcase")
    }
    failed = [name for name, failure in cases.items() if failure is not None]
    assert failed == ["test_it[two]"] and len(cases) == 3


def test_a_process_that_dies_is_no_host_that_is_right(suite: Path) -> None:
    tests = (
        "import os\ndef test_it(box):\n    if box.name == 'two':\n        os.kill(os.getpid(), 9)\n"
    )
    asked = ran(suite, tests)
    assert (
        "INTERNALERROR> RuntimeError: the process that looked at two ended with -9" in asked.stdout
    )
    assert asked.returncode not in {0, 1}
    # The others were looked at all the same.
    assert {"told:test_it[one]:passed", "told:test_it[three]:passed"} <= set(
        asked.stdout.replace(".", "\n").splitlines()
    )
