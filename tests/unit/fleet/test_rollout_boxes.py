"""What is believed of a box's own words in a rollout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fortyninety.checkout import PACKAGE
from fortyninety.facts.answers import read_object
from fortyninety.fleet.rollout_boxes import read_box
from fortyninety.rollout.capacity import Load
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.record import Record
from fortyninety.rollout.soak import Measured
from fortyninety.survey.records import Unreadable

RECORD = Record("3f2a9c01", "0123abcd", Phase.DONE, 1)
ENGINE: dict[str, Any] = {
    "running": 3,
    "waiting": 1,
    "requests": 42,
    "failed": 2,
    "gaps": 500,
    "gap_seconds": 12.5,
    "kv_used": 0.25,
    "kv_tokens": 1600,
}
GATEWAY: dict[str, Any] = {"ready": True, "requests": 93, "failed": 3}
ANSWER: dict[str, Any] = {
    "noted": RECORD.text(),
    "configuration": "0123abcd",
    "model": "tiny",
    "engine": ENGINE,
    "gateway": None,
}


def test_an_answer_is_read() -> None:
    seen = read_box(ANSWER, 64)
    assert (seen.configuration, seen.record) == ("0123abcd", RECORD)
    assert (seen.gateway_ready, seen.measured) == (None, Measured(42, 2, 500, 12.5))
    assert seen.load == Load(4, 64, 0.25, 1600)


def test_what_a_box_noted_is_read_as_its_program_answers(tmp_path: Path) -> None:
    program, record = PACKAGE / "on_host" / "rolled_out.py", tmp_path / "rollout.json"
    for words in (["note", "--text", RECORD.text()], ["look", "--unit", str(tmp_path / "unit")]):
        said = subprocess.run(
            [sys.executable, "-I", str(program), *words, "--record", str(record)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert record.read_text() == RECORD.text()
    assert read_box(read_object(said), 64).record == RECORD


def test_a_gateway_says_what_its_clients_were_told() -> None:
    seen = read_box({**ANSWER, "gateway": GATEWAY}, 64)
    assert (seen.gateway_ready, seen.measured) == (True, Measured(93, 3, 500, 12.5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"configuration": 1},
        {"engine": []},
        {"engine": {**ENGINE, "running": -1}},
        {"engine": {**ENGINE, "gaps": True}},
        {"engine": {**ENGINE, "kv_used": 1.5}},
        {"engine": {**ENGINE, "gap_seconds": "1"}},
        {"engine": {}},
        {"gateway": "ready"},
        {"gateway": {"ready": True}},
    ],
)
def test_an_answer_of_another_form_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read_box({**ANSWER, **wrong}, 64)


@pytest.mark.parametrize("noted", [None, 1, "", "{}", RECORD.text() * 100])
def test_a_note_that_no_rollout_wrote_is_none(noted: object) -> None:
    assert read_box({**ANSWER, "noted": noted}, 64).record is None
