"""`fortyninety bench` over real SSH to engines that a test imagines.

Run by test_bench in a process of its own: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import json
from pathlib import Path

# First: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
import pytest
from click.testing import CliRunner, Result

from fortyninety.cli import main
from tests.unit.cli.asked_boxes import Boxes, Engines, boxes, engines, server
from tests.unit.load.counting_engine import MODEL, CountingEngine

__all__ = ["boxes", "engines", "server"]


def bench(inventory: Path, *words: str) -> Result:
    few = ("--prompt-tokens", "20", "--completion-tokens", "6", "--rounds", "2")
    return CliRunner().invoke(main, ["bench", str(inventory), *few, *words])


def test_the_tokens_of_a_box_are_counted_exactly(boxes: Boxes, engines: Engines) -> None:
    counting = CountingEngine()
    ran = bench(boxes(engines(counting).port), "--batch", "1,3", "--json")
    result = json.loads(ran.stdout)["result"]
    assert (result["where"], result["model"]) == ("box-1", MODEL)
    assert [each["tokens"] for each in result["batches"]] == [12, 36]
    assert counting.made == 1 + 6 + 18 + 12 + 36
    # It has no card that answers.
    assert [each["draw"] for each in result["batches"]] == [None, None]


def test_more_at_once_than_the_engine_takes_is_said(boxes: Boxes, engines: Engines) -> None:
    inventory = boxes(engines(CountingEngine()).port, max_num_seqs=2)
    ran = bench(inventory)
    assert [line.split()[0] for line in ran.stdout.splitlines()[3:] if "!" not in line] == [
        "1",
        "2",
    ]
    ran = bench(inventory, "--batch", "3")
    assert "! 1 of 3 wait their turn: max_num_seqs is 2" in ran.stdout


def test_an_engine_that_ends_is_one_line(boxes: Boxes, engines: Engines) -> None:
    counting = CountingEngine()

    def answer(request: bytes) -> object:
        if request.startswith(b"POST") and counting.made > 10:
            return (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",)
        return counting(request)

    ran = bench(boxes(engines(answer).port), "--batch", "1", "--json")  # type: ignore[arg-type]
    page = json.loads(ran.stdout)
    assert (ran.exit_code, page["exit_code"], page["result"]) == (1, 1, None)
    assert "answering HTTP 500" in page["problems"][0]["found"]


def test_caps_of_a_box_without_root_are_not_touched(boxes: Boxes, engines: Engines) -> None:
    ran = bench(boxes(engines(CountingEngine()).port), "--power-caps", "300", "--yes", "--json")
    assert ran.exit_code == 2
    assert json.loads(ran.stdout)["result"] is None


def test_an_unreachable_box_is_no_answer(boxes: Boxes, closed: int) -> None:
    ran = bench(boxes(8000, ssh_port=closed), "--json")
    page = json.loads(ran.stdout)
    assert (ran.exit_code, page["exit_code"], page["result"]) == (2, 2, None)


@pytest.fixture(autouse=True)
def _no_host_keys_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
