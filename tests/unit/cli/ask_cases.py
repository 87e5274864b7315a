"""`fortyninety ask` over real SSH to engines that a test imagines.

Run by test_ask in a process of its own: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

# First: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
import pytest
from click.testing import CliRunner, Result

from fortyninety.cli import main
from tests.unit.cli.asked_boxes import (
    HELLO,
    MODEL,
    Boxes,
    Engines,
    boxes,
    engines,
    server,
    serving,
    ssh_server,
)
from tests.unit.engine.odd_engine import DONE, STREAM, event, said

__all__ = ["boxes", "engines", "server"]


def ask(inventory: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["ask", str(inventory), *words])


def test_the_answer_is_printed_and_how_fast_it_was(boxes: Boxes, engines: Engines) -> None:
    engine = engines(serving(*HELLO))
    ran = ask(boxes(engine.port), "Say hello.", "--max-tokens", "7")
    assert (ran.exit_code, ran.stdout) == (0, "Hello.\n"), ran.stderr
    assert re.search(r"first token after \d", ran.stderr)
    assert ran.stderr.rstrip().endswith("4 tokens")
    question = json.loads(engine.requests[-1].partition(b"\r\n\r\n")[2])
    assert question["messages"] == [{"role": "user", "content": "Say hello."}]
    assert (question["model"], question["max_tokens"]) == (MODEL, 7)


def test_json_is_one_object_and_nothing_is_streamed(boxes: Boxes, engines: Engines) -> None:
    ran = ask(boxes(engines(serving(*HELLO)).port), "Say hello.", "--json")
    page = json.loads(ran.stdout)
    assert (page["command"], page["exit_code"], page["problems"]) == ("ask", 0, [])
    result = page["result"]
    assert (result["host"], result["model"], result["answer"]) == ("box-1", MODEL, "Hello.")
    assert (result["tokens"], result["finish_reason"]) == (4, "stop")


def test_what_moves_a_terminal_is_escaped(boxes: Boxes, engines: Engines) -> None:
    hostile = (STREAM, said("a\x1b]0;x\x07\u202e\r\nb\tc", "length"), DONE)
    ran = ask(boxes(engines(serving(*hostile)).port), "Say hello.")
    assert ran.stdout == "a\\x1b]0;x\\x07\\u202e\\r\nb\tc\n"
    assert "1 token, cut off there (--max-tokens)" in ran.stderr


def test_the_first_host_that_serves_is_asked(boxes: Boxes, engines: Engines, closed: int) -> None:
    other, right = engines(serving(model="another")), engines(serving(*HELLO))
    inventory = boxes(closed, other.port, right.port)
    assert json.loads(ask(inventory, "Hi.", "--json").stdout)["result"]["host"] == "box-3"
    ran = ask(inventory, "Hi.", "--json", "--limit", "box-1", "--limit", "box-2")
    page = json.loads(ran.stdout)
    assert (ran.exit_code, page["exit_code"], page["result"]) == (1, 1, None)
    assert [each["found"] for each in page["problems"]] == [
        f"not running: nothing listens on its port {closed}",
        "serving another",
    ]
    assert ran.stderr.count("Error: box-") == 2


def test_an_error_of_the_engine_is_one_line(boxes: Boxes, engines: Engines) -> None:
    engine = engines(serving(STREAM, said("Hel"), event(error={"message": "CUDA\x1b[2J"})))
    ran = ask(boxes(engine.port), "Say hello.")
    assert (ran.exit_code, ran.stdout) == (1, "Hel\n")
    assert ran.stderr.splitlines()[-1] == (
        "Error: box-1: the engine is saying an error: CUDA\\x1b[2J; expected a whole answer"
    )


def test_a_server_that_forwards_nothing_is_said(boxes: Boxes, tmp_path: Path) -> None:
    known = tmp_path / "known"
    with ssh_server(known, "refuse") as (port, _):
        inventory = boxes(8000, ssh_port=port, ssh_known_hosts_file=str(known))
        ran = ask(inventory, "Say hello.")
    assert ran.exit_code == 1
    assert "the host's SSH server forwards nothing (AllowTcpForwarding)" in ran.stderr


def test_a_host_that_is_lost_in_the_middle_is_no_answer(
    boxes: Boxes, engines: Engines, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    with ssh_server(known) as (port, end):

        def answer(request: bytes) -> Iterator[bytes]:
            if not request.startswith(b"POST"):
                yield from serving()(request)
                return
            yield STREAM + said("Hel")
            end()
            engine.over.wait()

        engine = engines(answer)
        ran = ask(boxes(engine.port, ssh_port=port, ssh_known_hosts_file=str(known)), "Hi.")
    assert (ran.exit_code, ran.stdout) in ((2, "Hel\n"), (2, "")), ran.stderr
    lost = ("Error: box-1: the engine is ", "Error: box-1: connection is lost: ")
    assert ran.stderr.splitlines()[-1].startswith(lost)


def test_of_a_cell_the_head_alone_is_asked(boxes: Boxes, engines: Engines, closed: int) -> None:
    inventory = boxes(engines(serving(*HELLO)).port, closed, cell="pair", engine="0.32.0")
    assert json.loads(ask(inventory, "Hi.", "--json").stdout)["result"]["host"] == "box-1"
    ran = ask(inventory, "Hi.", "--limit", "box-2")
    assert ran.exit_code == 1
    assert "cell is 'pair', whose head is box-1; expected a host that answers" in ran.stderr


def test_an_unreachable_host_is_no_answer(boxes: Boxes, closed: int) -> None:
    ran = ask(boxes(8000, ssh_port=closed), "Hi.", "--json")
    page = json.loads(ran.stdout)
    assert (ran.exit_code, page["exit_code"], page["result"]) == (2, 2, None)
    assert page["problems"][0]["host"] == "box-1"


def test_a_host_whose_key_is_another_is_asked_nothing(
    boxes: Boxes, engines: Engines, tmp_path: Path
) -> None:
    engine = engines(serving(*HELLO))
    (tmp_path / "nobody").write_text("")
    ran = ask(boxes(engine.port, ssh_known_hosts_file=str(tmp_path / "nobody")), "Hi.")
    assert (ran.exit_code, ran.stdout, engine.requests) == (2, "", [])


@pytest.fixture(autouse=True)
def _no_host_keys_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
