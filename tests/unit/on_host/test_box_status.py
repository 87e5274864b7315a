"""The program that a box runs for `fortyninety status`, with a systemd and cards of the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fortyninety.engine.status.reading import BoxReading, read_box
from fortyninety.plan.programs import BOX_STATUS, program
from tests.unit.engine.odd_engine import Answering, OddEngine

METRICS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    b'vllm:num_requests_running{engine="0"} 2.0\nvllm:other 1\n'
    b'vllm:generation_tokens_total{engine="0"} 7.0\n'
)
WANTED = ["vllm:num_requests_running", "vllm:generation_tokens_total"]
SYSTEMCTL = """gap=
while [ "$1" != -- ]; do shift; done
shift
for unit; do
    echo "${gap}Id=$unit"; echo LoadState=loaded; echo ActiveState=active
    gap='
'
done"""
SMI = "echo '0, 1, 24564, 21.00, 400.00, 34, 0, 0x0000000000000001'"

Ask = Callable[..., BoxReading]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    engines: list[OddEngine] = []

    def run(
        answer: Answering,
        *,
        smi: str = SMI,
        systemctl: str = SYSTEMCTL,
        twice: float = 0,
        looks: int = 1,
        **changed: Any,
    ) -> BoxReading:
        engines.append(OddEngine(answer))
        for name, text in {"systemctl": systemctl, "nvidia-smi": smi, "why": WHY}.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "current").symlink_to("/opt/engines/0.32.0-04b6dd22f06c")
        asked = {
            "unit": "vllm.service",
            "port": engines[-1].port,
            "metrics": WANTED,
            "engine": str(tmp_path / "current"),
            "snapshot": str(tmp_path / "nothing"),
            "failure": str(tmp_path / "why"),
            "gateway": "",
            "left_after": 60,
            **changed,
        }
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program(BOX_STATUS), json.dumps(asked)],
            input=f"{twice}\n" * looks,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stderr == "" and ran.stdout.count("\n") == looks
        return read_box(ran.stdout.splitlines()[-1])

    yield run
    for engine in engines:
        engine.close()


# Asked of the starts that ended before now, it says why one of those did.
WHY = """cause=old
case "$*" in "--unit vllm.service --since 1"*) cause="Loading weights" ;; esac
echo '{"state": "running", "cause": "'"$cause"'", "more": "x"}'"""


def test_everything_is_read_in_one_go(ask: Ask) -> None:
    found = ask(lambda _: (METRICS,), twice=0.01, gateway="fortyninety-gateway.service")
    assert found.unit["ActiveState"] == "active"
    assert found.unit["Id"] == "vllm.service"
    assert found.gateway is not None and found.gateway["Id"] == "fortyninety-gateway.service"
    assert [card.draw for card in found.cards] == [21]
    first, second = found.scrapes
    assert (first.metrics.running, first.metrics.generated_tokens) == (2, 7)
    assert second.time > first.time
    assert (found.engine, found.snapshot, found.cause) == ("0.32.0-04b6dd22f06c", "", None)
    assert found.clock >= second.time and found.now > 1_700_000_000


def test_an_engine_that_does_not_answer_is_explained(ask: Ask) -> None:
    found = ask(lambda _: (b"HTTP/1.1 503 Service Unavailable\r\n\r\n",))
    assert (found.scrapes, found.cause) == ((), "Loading weights")


def test_an_engine_that_never_ends_its_answer_is_left(ask: Ask) -> None:
    def endless(request: bytes) -> Iterator[bytes]:
        yield METRICS
        while True:
            yield b"vllm:num_requests_running 1\n" * 10_000

    assert ask(endless).scrapes == ()


def test_a_box_without_cards_has_none(ask: Ask) -> None:
    assert ask(lambda _: (METRICS,), smi="echo No devices were found; exit 6").cards == ()


# A unit that was stopped, so many microseconds after the boot; and why, with a line for each time.
STOPPED = SYSTEMCTL.replace("ActiveState=active", "ActiveState=failed; MORE")
COUNTED = """echo asked >> "$0.asked"
echo '{"state": "STATE", "cause": "out of memory", "remedy": null}'"""


@pytest.mark.parametrize(
    ("state", "unit", "asked"),
    [
        ("ended", "echo StateChangeTimestampMonotonic=1", 1),
        # Of a start that is under way each look says more.
        ("running", "echo StateChangeTimestampMonotonic=1", 3),
        # It may have ended in the meantime, and again.
        ("ended", 'n=$(($(cat "$0.n" 2>/dev/null) + 1)); echo $n > "$0.n"; echo NRestarts=$n', 3),
        # The journal may not have everything yet.
        ("ended", "echo StateChangeTimestampMonotonic=99999999999999999", 3),
        ("ended", "echo StateChangeTimestampMonotonic=", 3),
    ],
)
def test_a_reason_is_looked_for_once(
    ask: Ask, tmp_path: Path, state: str, unit: str, asked: int
) -> None:
    (tmp_path / "counted").write_text(f"#!/bin/sh\n{COUNTED.replace('STATE', state)}\n")
    (tmp_path / "counted").chmod(0o755)
    found = ask(
        lambda _: (b"HTTP/1.1 503 Service Unavailable\r\n\r\n",),
        systemctl=STOPPED.replace("MORE", unit),
        looks=3,
        failure=str(tmp_path / "counted"),
    )
    assert found.cause == "out of memory"
    assert (tmp_path / "counted.asked").read_text().count("asked") == asked


def test_it_answers_each_line(ask: Ask) -> None:
    # Each look is one answer, as `ask` counts them.
    assert ask(lambda _: (METRICS,), looks=3).unit["ActiveState"] == "active"


def test_it_ends_where_nobody_asks_any_more() -> None:
    asked = json.dumps({"left_after": 1})
    command = [sys.executable, "-I", "-S", "-c", program(BOX_STATUS), asked]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
        assert running.wait(60) == -signal.SIGALRM
