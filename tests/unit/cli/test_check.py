"""`fortyninety check` where there is no host to be right or wrong."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from fortyninety.cli import main
from fortyninety.cli.check import run_suite


def check(*arguments: str) -> Result:
    """The command as an operator runs it."""
    return CliRunner().invoke(main, ["check", *arguments])


@pytest.fixture
def inventory(tmp_path: Path, closed: int) -> Path:
    """A host whose port is closed, and one whose settings are wrong."""
    data: dict[str, Any] = {"ssh_hostname": "127.0.0.1", "ssh_port": closed}
    path = tmp_path / "fleet.py"
    path.write_text(f"fleet = {[('closed', data), ('wrong', {'power_limt': 400})]!r}\n")
    return path


def test_hosts_that_cannot_be_looked_at_end_with_2_and_are_each_said(inventory: Path) -> None:
    ran = check(str(inventory))
    assert ran.exit_code == 2
    assert "SSH port is closed on 127.0.0.1" in ran.output
    assert "power_limt" in ran.output and "did you mean power_limit" in ran.output
    assert "2 hosts: 0 passed, 2 failed" in ran.output


def test_the_result_is_also_json_and_junit(inventory: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    ran = check(str(inventory), "--limit", "closed", "--json", "--junit", str(report))
    page = json.loads(ran.output)
    assert page["exit_code"] == ran.exit_code == 2
    (result,) = page["result"]["results"]
    assert page["problems"] == [{"message": f"closed: {result['message']}"}]
    assert (result["host"], result["area"], result["outcome"]) == ("closed", "reach", "failed")
    (case,) = ElementTree.parse(report).iter("testcase")
    failure = case.find("failure")
    assert failure is not None and result["message"] in failure.attrib["message"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no inventory file"),
        ("fleet = []\n", "has no host"),
        ("fleet = [(\n", "was never closed"),
    ],
)
def test_an_inventory_that_cannot_be_used_ends_with_2_in_one_line(
    text: str | None, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.py"
    if text is not None:
        path.write_text(text)
    ran = check(str(path))
    assert ran.exit_code == 2
    assert expected in ran.output
    assert len(ran.output.splitlines()) == 1


def test_a_limit_that_names_nobody_ends_with_2(inventory: Path) -> None:
    ran = check(str(inventory), "--limit", "clsoed")
    assert ran.exit_code == 2
    assert "no host matches --limit clsoed; there are closed, wrong" in ran.output


def test_what_is_not_installed_is_named_with_how_to_install_it(
    inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "testinfra" else find(name)
    )
    ran = check(str(inventory))
    assert ran.exit_code == 2
    assert "testinfra" in ran.output and "requirements/controller.txt" in ran.output


def test_without_the_suite_it_says_where_it_looked(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By the module's name: the package has the command under it.
    monkeypatch.setattr(sys.modules["fortyninety.cli.check"], "SUITE", tmp_path / "nowhere")
    ran = check(str(inventory))
    assert ran.exit_code == 2 and "nowhere" in ran.output


def test_the_help_has_examples_and_the_exit_codes() -> None:
    shown = check("--help").output
    assert "fortyninety check inventory/prod.py" in shown
    assert all(code in shown for code in ("0 where", "1 where", "2 where"))


def test_an_environment_for_other_tests_leaves_none_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a test, nor an assertion of a helper of it, which pytest does not rewrite."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--results')\n"
    )
    (tmp_path / "test_own.py").write_text(
        "import json\n"
        "def test_own(pytestconfig):\n"
        "    texts = dict.fromkeys(('host', 'area', 'test', 'outcome', 'meaning'), 'x')\n"
        "    with open(pytestconfig.getoption('--results'), 'w') as results:\n"
        "        line = {**texts, 'message': f'{__debug__}', 'seconds': 0}\n"
        "        print(json.dumps(line), file=results)\n"
    )
    monkeypatch.setattr(sys.modules["fortyninety.cli.check"], "SUITE", tmp_path)
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--deselect test_own.py::test_own")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    assert [each.message for each in run_suite([])] == ["True"]
