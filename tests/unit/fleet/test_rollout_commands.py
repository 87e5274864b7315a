"""What a rollout makes of the answers of the deploys that it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fortyninety.fleet.rollout_commands import (
    FleetCommands,
    FleetRollbacks,
    _ended,
    _tell,
    wait_until_over,
)
from fortyninety.rollout.phases import Phase


def deployed(host: dict[str, object]) -> bool:
    return host.get("deployed") is True


def page(hosts: list[dict[str, object]], problems: list[dict[str, str]]) -> str:
    return json.dumps({"result": {"hosts": hosts}, "problems": problems})


def test_a_host_is_done_where_the_answer_says_so() -> None:
    problem = {"host": "b", "subject": "the gate", "found": "not done", "expected": "done"}
    text = page([{"host": "a", "deployed": True}, {"host": "b", "deployed": False}], [problem])
    assert _ended((1, text), ["a", "b"], deployed).hosts == {
        "a": "",
        "b": "the gate is not done; expected done",
    }


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"result": 1}', '{"result": {"hosts": [1]}, "problems": []}']
)
def test_without_an_answer_nothing_was_done(text: str) -> None:
    assert _ended((-9, text), ["a"], deployed).hosts == {"a": "it ended with -9 and no answer"}


def test_hosts_that_were_refused_with_another_say_why() -> None:
    text = json.dumps({"result": None, "problems": [{"message": "no room"}]})
    assert _ended((2, text), ["a", "b"], deployed).hosts == {"a": "no room", "b": "no room"}


def test_a_deploy_that_cannot_look_is_no_success(tmp_path: Path) -> None:
    """The real command, over an inventory whose file is not there."""
    ended = FleetCommands(str(tmp_path / "no.py")).deploy(
        ["a"], tmp_path / "001-deploy.log", lambda phase: None, prepare=False
    )
    assert ended.code == 2
    assert "no.py" in ended.hosts["a"]


def test_the_phase_is_read_as_pyinfra_says_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    begun = "\x1b[34m--> Starting operation:\x1b[0m \x1b[1mGate | Wait for a completion\x1b[0m \n"
    log.write_text(begun + begun.replace("Gate | Wait", "Service | Run what")[:-1])
    told: list[Phase] = []
    read = _tell(log, 0, told.append)
    assert told == [Phase.GATE], "a line is read when it is whole"
    with log.open("a") as stream:
        stream.write(os.linesep)
    _tell(log, read, told.append)
    assert told == [Phase.GATE, Phase.CHANGING]


def test_what_a_killed_controller_began_is_waited_for(tmp_path: Path) -> None:
    """The real command's place has one that says that it has begun, and ends when it is told."""
    begun, end, stands_in = tmp_path / "begun", tmp_path / "end", tmp_path / "command"
    os.mkfifo(begun)
    os.mkfifo(end)
    stands_in.write_text(f"#!/bin/sh\n: > {begun}\nread -r _ < {end}\n")
    stands_in.chmod(0o755)
    controller = (
        f"import sys; sys.executable = {str(stands_in)!r}\n"
        "from pathlib import Path\n"
        "from fortyninety.fleet.rollout_commands import FleetCommands\n"
        f"FleetCommands('x.py').rollback(['a'], Path({str(tmp_path / '001-rollback.log')!r}))\n"
    )
    with subprocess.Popen([sys.executable, "-c", controller]) as process:
        begun.read_text()
        process.kill()
    said: list[bool] = []

    def say() -> None:
        said.append(True)
        end.write_text("\n")

    wait_until_over(tmp_path, say)
    assert said == [True]
    wait_until_over(tmp_path, say)
    assert said == [True], "it is over"


def test_nothing_is_waited_for_where_nothing_was_begun(tmp_path: Path) -> None:
    wait_until_over(tmp_path, lambda: pytest.fail("there is nothing"))


def test_a_rollback_of_a_rollout_drains_before_it_and_ends_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, stands_in = tmp_path / "ran", tmp_path / "command"
    answer = '{"result": {"hosts": [{"host": "a"}, {"host": "b", "error": "no unit"}]}, '
    stands_in.write_text(f"#!/bin/sh\necho $4 $6 >> {ran}\necho '{answer}\"problems\": []}}'\n")
    stands_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stands_in))
    commands, told = FleetRollbacks("x.py", "3f2a9c01", ["a"]), list[Phase]()
    log = tmp_path / "001-deploy.log"
    assert commands.deploy(["a", "b"], log, told.append, prepare=True).hosts == {"a": "", "b": ""}
    assert not ran.exists()
    ended = commands.deploy(["a", "b"], log, told.append, prepare=False)
    assert ended.hosts == {"a": "", "b": "no unit"} and told == [Phase.CHANGING]
    assert ran.read_text().split() == ["drain", "a", "rollback", "--json", "undrain", "a"]
