"""Whether the engine answers: a completion, asked for on the host itself."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase


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
        """The result. Raises FactProcessError where the program printed no JSON object."""
        try:
            found = json.loads(output[-1])
        except ValueError as error:
            raise FactProcessError(f"expected a JSON object, got {output[-1]!r}") from error
        return CompletionResult(found.get("answer"), found.get("tokens", 0), found.get("error"))
