"""Why a command on a host failed, by what it wrote."""

from __future__ import annotations

from fortyninety.fleet.ended import cause_in

CAUSE = "vllm.service does not stay up: CUDA out of memory"
REPORT = [CAUSE, "Lower max_model_len.", "More: journalctl --boot --unit=vllm.service", "A note."]


def test_the_last_line_of_another_program_says_why() -> None:
    assert cause_in(["Reading lists", "E: no such package", " "]) == "E: no such package"
    assert cause_in(["", " "]) == ""


def test_a_report_begins_with_the_cause() -> None:
    assert cause_in(REPORT) == cause_in(REPORT[:3]) == CAUSE


def test_what_was_put_back_is_said_with_the_cause() -> None:
    both = f"{CAUSE}; put back: 0.32.0 (configuration 0123456789abcdef)"
    assert cause_in([*REPORT, both]) == both
