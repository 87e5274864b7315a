"""`fortyninety status` and `logs` over real SSH, with a systemd, a journal and cards of the test.

Run by test_status in a process of its own: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent

# First: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
import pytest
from click.testing import CliRunner, Result

from fortyninety.cli import main
from fortyninety.fleet.quiet import errors_alone
from fortyninety.fleet.status import WatchedFleet
from tests.unit.engine.odd_engine import OddEngine

# Seconds for a look, far more than it takes.
PATIENCE = 60
SERVER = Path(__file__).parents[1] / "connection" / "ssh_server.py"
METRICS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    b"vllm:num_requests_running 2.0\nvllm:generation_tokens_total 7.0\n"
)
FAKES = {
    "systemctl": "echo $PPID >>$0.asked_by; "
    "echo LoadState=loaded; echo ActiveState=active; echo SubState=running",
    "nvidia-smi": "echo '0, 1024, 24564, 21.00, 400.00, 34, 0, 0x0000000000000001'",
    "journalctl": 'echo "$@" >&2; printf \'a\\033[2Jb\\nGET prompt: "my salary"\\n\';'
    "echo 'INFO: 1 - \"GET /health HTTP/1.1\" 200 OK'; echo last",
}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[dict[str, object]]:
    """How a box is reached whose engine serves."""
    for name, text in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    engine = OddEngine(lambda _: (METRICS,))
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            port, key = int(process.stdout.readline()), process.stdout.readline().strip()
            known = tmp_path / "known"
            known.write_text(f"[127.0.0.1]:{port} {key}\n")
            yield {
                "ssh_hostname": "127.0.0.1",
                "ssh_port": port,
                "ssh_user": "root",
                "ssh_password": "any",
                "ssh_known_hosts_file": str(known),
                "port": engine.port,
                "model_repository": "org/model",
            }
        finally:
            process.kill()
            engine.close()


def written(folder: Path, **boxes: object) -> Path:
    file = folder / "boxes.py"
    file.write_text(f"boxes = {list(boxes.items())!r}\n")
    return file


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_a_box_that_serves_is_a_line(box: dict[str, object], tmp_path: Path) -> None:
    ran = run("status", str(written(tmp_path, one=box)))
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.splitlines()[1:] == [
        "one          serving                1.0/24     21/400  34    0.0   2+0    -    -",
        "1 serving; 0 tokens/s, 2 running, 0 waiting",
    ]


def test_one_that_refuses_is_said_in_json_and_hides_no_other(
    box: dict[str, object], tmp_path: Path, closed: int
) -> None:
    inventory = written(tmp_path, lost={**box, "ssh_port": closed}, one=box)
    ran = run("status", str(inventory), "--json")
    page = json.loads(ran.stdout)
    assert (ran.exit_code, page["exit_code"], page["command"]) == (2, 2, "status")
    lost, one = page["result"]["boxes"]
    assert (lost["host"], lost["state"]) == ("lost", "no answer") and lost["why"]
    assert [(each["host"], each["found"]) for each in page["problems"]] == [("lost", lost["why"])]
    assert (one["state"], one["cards"][0]["cap"]) == ("serving", 400)
    assert one["metrics"]["running"] == 2


def test_a_silent_box_is_waited_for_once(box: dict[str, object], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, errors_alone():
        port = silent.getsockname()[1]
        fleet = WatchedFleet(
            str(written(tmp_path, silent={**box, "ssh_port": port}, one=box)), (), patience=0
        )
        try:
            lost, one = fleet.look(0.1)
            while one.state != "serving":
                gevent.sleep(0.05)
                lost, one = fleet.look(0.1)
            # Had it been waited for, it would be known why it is not connected to.
            assert lost.state == "no answer" and lost.why.startswith("silent for ")
        finally:
            fleet.close()


def test_one_program_answers_all_looks_and_is_begun_anew_once_it_ended(
    box: dict[str, object], tmp_path: Path
) -> None:
    with errors_alone():
        fleet = WatchedFleet(str(written(tmp_path, one=box)), ())
        try:
            looks = [fleet.look(PATIENCE)[0] for _ in range(3)]
            assert [look.state for look in looks] == ["serving"] * 3
            (asking,) = set((tmp_path / "systemctl.asked_by").read_text().split())
            os.kill(int(asking), signal.SIGKILL)
            # Its end is seen before this look, or by it.
            fleet.look(PATIENCE)
            assert fleet.look(PATIENCE)[0].state == "serving"
        finally:
            fleet.close()
    assert len(set((tmp_path / "systemctl.asked_by").read_text().split())) == 2


def test_logs_have_no_prompts_and_no_probes(box: dict[str, object], tmp_path: Path) -> None:
    ran = run("logs", str(written(tmp_path, one=box)), "one", "--since", "2h", "--json")
    page = json.loads(ran.stdout)
    assert ran.exit_code == 0
    assert page["result"] == {
        "host": "one",
        "lines": ["a\\x1b[2Jb", "GET prompt: <left out>", "last"],
    }
    assert run("logs", str(tmp_path / "boxes.py"), "one", "--lines", "1").stdout == "last\n"


@pytest.mark.parametrize("since", ["", "yesterday", "1", "-1h", "1h; reboot", "9999999d"])
def test_a_time_that_is_none_is_refused(since: str, tmp_path: Path) -> None:
    ran = run("logs", str(written(tmp_path, one={})), "one", "--since", since)
    assert ran.exit_code == 2 and "--since is no time" in ran.output


@pytest.fixture(autouse=True)
def _no_host_keys_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
