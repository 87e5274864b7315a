"""The wheel has all that the commands need, and they work from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from tests.unit.fleet.imagined_fleet import run_over, survey
from tests.unit.installed_wheel import InstalledWheel, files_of_git, install_wheel

# What an installation has no use for: each is a whole name, or a folder.
LEFT_OUT = (
    *(".ci/", ".github/", "bench/", "bin/", "docs/", "inventory/", "lab/", "requirements/"),
    *("tests/lab/", "tests/unit/", "group_data/lab.py"),
    *("fortyninety/on_host/README.md", "host-tools/requirements.in"),
    *(".gitignore", ".pre-commit-config.yaml", "pyproject.toml"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md"),
    # A link to tasks/.
    "fortyninety/tasks",
)
OWN_DEPLOY = (ROOT / "docs/own-deploy.md").read_text().split("```python\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> InstalledWheel:
    """The wheel of this checkout, installed."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def inventory(tmp_path: Path, closed: int) -> Path:
    """A host whose port is closed."""
    path = tmp_path / "fleet.py"
    path.write_text(f"fleet = [('box', {{'ssh_hostname': '127.0.0.1', 'ssh_port': {closed}}})]\n")
    return path


def place_in_wheel(name: str) -> str:
    """Where the wheel has a file of the repository."""
    if name.startswith("fortyninety/"):
        return name
    return f"fortyninety/{name}" if name.startswith("tasks/") else f"fortyninety/shipped/{name}"


def test_a_wheel_has_every_file_of_git_but_those_that_are_left_out(
    installed: InstalledWheel,
) -> None:
    expected = {
        place_in_wheel(name)
        for name in files_of_git()
        if not any(name == each or (each[-1] == "/" and name.startswith(each)) for each in LEFT_OUT)
    }
    with zipfile.ZipFile(installed.wheel) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert sorted(expected - found) == [], "pyproject.toml leaves them out of the wheel"
    assert sorted(found - expected) == [], "git does not have them, or LEFT_OUT has"


def test_commands_answer_as_in_the_checkout(
    installed: InstalledWheel, inventory: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments in (
        ("fit", "--cards", "2x4090"),
        ("engine", "list"),
        ("drift", str(inventory)),
        ("check", str(inventory)),
    ):
        here = subprocess.run(
            [sys.executable, "-m", "fortyninety", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        there = installed.run(*arguments, cwd=empty)
        assert there.returncode == here.returncode, f"{arguments}: {there.stderr}"
        assert there.stdout == here.stdout
        assert there.stderr == here.stderr
    assert list(empty.iterdir()) == []


def test_the_lab_is_no_part_of_an_installation(installed: InstalledWheel, tmp_path: Path) -> None:
    assert "  lab " not in installed.run("--help", cwd=tmp_path).stdout
    assert installed.run("lab", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("of_a_wheel", [True, False], ids=["wheel", "checkout"])
def test_one_s_own_deploy_takes_the_stages_that_it_names(
    of_a_wheel: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The example of docs/own-deploy.md, in a folder of one's own."""
    python = request.getfixturevalue("installed").python if of_a_wheel else None
    (tmp_path / "deploy.py").write_text(OWN_DEPLOY)
    ran = run_over(tmp_path, "drift", {"box": survey()}, "--json", python=python, cwd=tmp_path)
    assert ran.returncode == 3, ran.stderr
    page = json.loads(ran.stdout)
    (host,) = page["result"]["hosts"]
    assert {change["stage"] for change in host["changes"]} == {"Driver", "CUDA", "Power"}


def test_without_one_of_one_s_own_it_is_the_project_s(
    installed: InstalledWheel, tmp_path: Path
) -> None:
    ran = run_over(
        tmp_path, "drift", {"box": survey()}, "--json", python=installed.python, cwd=tmp_path
    )
    assert ran.returncode == 3, ran.stderr
    page = json.loads(ran.stdout)
    (host,) = page["result"]["hosts"]
    assert {"Driver", "Engine", "Gate"} <= {change["stage"] for change in host["changes"]}
