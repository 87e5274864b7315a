"""Ask the engine for a completion, on the host itself."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from fortyninety.facts.answers import number_of, read_object, text_of
from fortyninety.survey.records import Unreadable


@dataclass(frozen=True)
class CompletionResult:
    """What the engine answered with how many tokens, or the error in place of an answer."""

    answer: str | None
    tokens: int
    error: str | None


class Completion(FactBase[CompletionResult]):
    """One attempt at a completion, by the program that a deploy puts onto the host."""

    def command(self, program: str, port: int, model: str, headless: str | None = None) -> str:
        """Always succeeds: an engine that does not answer is a finding, not a failed fact.

        `headless` is the unit of a cell's member that answers nobody, which says whether the head
        does.
        """
        quoted = shlex.quote(program)
        unit = f" --headless --unit {shlex.quote(headless)}" if headless else ""
        return (
            f"test ! -x {quoted} || python3 {quoted} --port {port} "
            f"--model {shlex.quote(model)}{unit} || true"
        )

    @staticmethod
    def default() -> CompletionResult:
        """Before the program is on the host there is no answer."""
        return CompletionResult(None, 0, "not deployed yet")

    def process(self, output: list[str]) -> CompletionResult:
        """The result; where the program printed something else that is the error."""
        try:
            found = read_object(output[-1])
            return CompletionResult(
                text_of(found, "answer"), number_of(found, "tokens", 0), text_of(found, "error")
            )
        except Unreadable as unreadable:
            return CompletionResult(None, 0, f"the asking program printed {unreadable}")
