"""`fortyninety deploy` over imagined hosts: what it refuses, says and ends with."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from tests.unit.fleet.imagined_fleet import Answers, keep_list, run_over, survey

# Carried out without a lease, which an imagined host cannot give.
OWN = """
from pyinfra.operations import python
from fortyninety.tasks import preflight

def work():
    {work}

plan = preflight.plan_or_refuse()
python.call(name="Own | Work", function=work)
"""
# In one process: pyinfra_cli patches the standard library, and takes seconds to load.
RUN_EACH = """
import json, sys
import pyinfra_cli.main
from click.testing import CliRunner
from fortyninety.cli import main
for line in json.loads(sys.argv[1]):
    ended = CliRunner().invoke(main, line)
    print(json.dumps([ended.exit_code, ended.stderr]))
"""
WAY = {"ssh_hostname": "192.0.2.7", "ssh_port": 2222, "ssh_user": "ops"}


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder whose deploy.py does nothing on a host but check it."""
    write_own(tmp_path, "pass")
    return tmp_path


def write_own(folder: Path, work: str) -> None:
    (folder / "deploy.py").write_text(OWN.format(work=work))


def deploy(
    folder: Path,
    *arguments: str,
    hosts: dict[str, Answers] | None = None,
    cwd: Path = ROOT,
    **data: object,
) -> subprocess.CompletedProcess[str]:
    hosts = hosts or {"box": survey()}
    return run_over(folder, "deploy", hosts, *arguments, data={**WAY, **data}, cwd=cwd)


def test_at_the_end_each_host_has_an_address_and_a_line_to_try(own_folder: Path) -> None:
    ran = deploy(own_folder, "--yes", cwd=own_folder)
    assert ran.returncode == 0, ran.stderr
    assert "by the deploy.py of this folder" in ran.stderr
    said = ran.stdout.splitlines()
    assert "@fake/box answers at 127.0.0.1:8000 of the box. From here:" in said
    assert "  ssh -N -L 8000:127.0.0.1:8000 -p 2222 ops@192.0.2.7" in said
    assert f"Or, without a port: fortyninety ask {own_folder}/boxes.py 'Say hello.'" in said
    (request,) = (line for line in said if "curl" in line)
    assert "http://127.0.0.1:8000/v1/chat/completions" in request
    assert "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4" in request


def test_a_host_with_a_gateway_has_its_address_and_a_line_with_a_key(own_folder: Path) -> None:
    ran = deploy(own_folder, "--yes", cwd=own_folder, gateway=True, gateway_port=8443)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    base, path = "https://192.0.2.7:8443/v1", f"{own_folder}/boxes"
    assert f"@fake/box answers at {base} to who has a key. To try it:" in said
    key = f"fortyninety key add {path}.py NAME --tenant TENANT"
    assert f"  export OPENAI_API_KEY=$({key})" in said
    (request,) = (line for line in said if "curl" in line)
    assert request.startswith(
        """  printf 'header = "Authorization: Bearer %s"\\n' "$OPENAI_API_KEY" | """
    )
    assert f"curl --cacert {path}.authority/authority.pem -K - {base}/chat/completions " in request
    assert "127.0.0.1:8000" not in ran.stdout


def test_json_names_the_gateway_by_the_name_that_was_set_for_it(own_folder: Path) -> None:
    names = ["llm.example.org"]
    arguments = ("--yes", "--json")
    ran = deploy(own_folder, *arguments, cwd=own_folder, gateway=True, gateway_names=names)
    (host,) = json.loads(ran.stdout)["result"]["hosts"]
    assert host["serves"]["gateway"] == "https://llm.example.org:443/v1"
    assert host["serves"]["with_key"].count("https://llm.example.org:443/v1/chat/completions") == 1


def test_json_is_one_object_whatever_pyinfra_and_a_deploy_file_print(tmp_path: Path) -> None:
    write_own(tmp_path, "print('printed at work')\n\nprint('printed on loading')")
    ran = deploy(tmp_path, "--yes", "--json", cwd=tmp_path)
    page = json.loads(ran.stdout)
    assert "printed on loading" in ran.stderr and "printed at work" in ran.stderr
    assert (page["command"], page["exit_code"], page["problems"]) == ("deploy", 0, [])
    (host,) = page["result"]["hosts"]
    assert host["deployed"] and host["changes"] == 1
    assert host["serves"]["address"] == "127.0.0.1:8000"
    assert host["serves"]["gateway"] is None and host["serves"]["with_key"] is None


def test_a_host_that_fails_is_named_with_its_operation_and_reason(tmp_path: Path) -> None:
    """The project's own deploy, which gets no lease of an imagined host."""
    ran = deploy(tmp_path, "--yes", "--json")
    assert ran.returncode == 1
    (problem,) = json.loads(ran.stdout)["problems"]
    assert problem["subject"].startswith("Sources | ")
    assert "it is not reached over SSH" in problem["found"]
    assert json.loads(ran.stdout)["result"]["hosts"][0]["serves"] is None
    # What to expect came first, and says whence it is.
    first, second, third, *_ = ran.stderr.splitlines()
    assert first.startswith("Deploying to @fake/box of ")
    assert "A first deploy takes up to 20 minutes with 1 Gbit/s" in second
    assert "computed" in second and "never timed on a real RTX 4090" in third


def test_dry_changes_nothing_and_says_whether_a_deploy_would(tmp_path: Path) -> None:
    ran = deploy(tmp_path, "--dry", "--json")
    assert ran.returncode == 3, ran.stderr
    (host,) = json.loads(ran.stdout)["result"]["hosts"]
    assert host["changes"] > 20
    commands = (tmp_path / "answers.json.commands").read_text().splitlines()
    assert len(commands) == 3, "a look asks for the survey, the archives and a completion"


def test_every_reason_against_it_is_said_at_once(tmp_path: Path) -> None:
    hosts = {
        "old": survey("os\tdebian\t11\tbullseye\tDebian GNU/Linux 11", without="os\t"),
        "good": survey(),
    }
    ran = deploy(tmp_path, "--yes", hosts=hosts)
    assert ran.returncode == 1
    assert "Refused: nothing was changed on any host, for 1 reason:" in ran.stderr
    assert "@fake/old: distribution is Debian GNU/Linux 11" in ran.stderr


def test_of_a_host_whose_settings_are_wrong_only_that_is_said(tmp_path: Path) -> None:
    ran = deploy(tmp_path, "--yes", max_num_seqs="many")
    assert ran.returncode == 2
    assert "for 1 reason:" in ran.stderr and "max_num_seqs is 'many'" in ran.stderr
    assert "connection" not in ran.stderr


def test_what_cannot_be_meant_ends_with_2_and_asks_no_host(tmp_path: Path) -> None:
    cases = {
        ("--yes", "--limit", "nobody"): "no host matches --limit nobody",
        ("--yes", "--exclude", "nobody"): "no host matches --exclude nobody",
        ("--yes", "--exclude", "boxes"): "--exclude leaves no host",
        ("--yes", "--data", "port"): "--data has 'port'; expected KEY=VALUE",
        # It may be the secret itself.
        ("--yes", "--data", "hub_token:hf_abcdef"): "--data has something else; expected",
        ("--yes", "--data", "port=0"): "port is 0",
        (): "nobody can be asked here: give --yes",
    }
    inventory = tmp_path / "boxes.py"
    inventory.write_text("boxes = ['@fake/box']\n")
    lines = [["deploy", str(inventory), *arguments] for arguments in cases]
    lines.append(["deploy", str(tmp_path / "none.py"), "--yes"])
    closed = tmp_path / "closed.py"
    closed.write_text("boxes = [('box', {'ssh_hostname': '127.0.0.1', 'ssh_port': 1})]\n")
    lines.append(["deploy", str(closed), "--yes"])
    ran = subprocess.run(
        [sys.executable, "-c", RUN_EACH, json.dumps(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    saying = [*cases.values(), "no inventory file", "nothing was changed on any host"]
    ended = [json.loads(line) for line in ran.stdout.splitlines()]
    for (code, stderr), said in zip(ended, saying, strict=True):
        assert code == 2, stderr
        assert said in stderr
        assert "Traceback" not in stderr and "Connected" not in stderr


def test_one_s_own_deploy_that_cannot_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "deploy.py").write_text("from fortyninety.tasks import no_such_stage\n")
    for command in (["deploy", "--yes"], ["drift"]):
        name, *arguments = command
        ran = run_over(tmp_path, name, {"box": survey()}, *arguments, cwd=tmp_path)
        assert ran.returncode == 2
        assert "Traceback" not in ran.stderr
        assert "Error: deploy.py, line 1: ImportError" in ran.stderr


def test_files_of_one_s_own_are_relative_to_the_folder(tmp_path: Path) -> None:
    write_own(tmp_path, "from pyinfra import state; assert state.cwd == " + repr(str(tmp_path)))
    ran = deploy(tmp_path, "--yes", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_ctrl_c_in_the_middle_ends_with_130(tmp_path: Path) -> None:
    write_own(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    ran = deploy(tmp_path, "--yes", cwd=tmp_path)
    assert ran.returncode == 130, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "answers at" not in ran.stdout


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_it_shows_the_changes_and_asks(answer: str, code: int, own_folder: Path) -> None:
    keep_list(own_folder)
    (own_folder / "boxes.py").write_text("boxes = [('@fake/box', {})]\n")
    (own_folder / "answers.json").write_text(json.dumps({"@fake/box": survey()}))
    controller, terminal = pty.openpty()
    os.write(controller, answer.encode())
    ran = subprocess.run(
        [
            *(sys.executable, "-P", str(ROOT / "tests/unit/imagined_hosts.py")),
            *("answers.json", "deploy", "boxes.py"),
        ],
        cwd=own_folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(own_folder / "cache"),
        },
        stdin=terminal,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(controller)
    os.close(terminal)
    assert ran.returncode == code, ran.stderr
    assert "Own | Work" in ran.stderr.partition("Deploy this?")[0]
    assert ("answers at" in ran.stdout) == (code == 0)
