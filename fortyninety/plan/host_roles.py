"""Say what is wrong with a host without an engine: its settings, and what is there."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.plan.paths import SERVICE, SERVICE_UNIT
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading


def role_problems(host: str, settings: Settings) -> Iterator[Problem]:
    """What is set of a host without an engine that only an engine is for."""
    if settings.cell is not None:
        yield Problem(
            host=host,
            subject="cell",
            found=repr(settings.cell),
            expected="None without 'engine' in roles",
        )


def engine_left_problems(host: str, reading: HostReading) -> Iterator[Problem]:
    """An engine that is there from before: it would go on, and nobody would look at it."""
    if SERVICE_UNIT in reading.files:
        yield Problem(
            host=host,
            subject="roles",
            found=f"without 'engine', and {SERVICE} is there",
            expected="a host without an engine",
            remedy="`fortyninety reset` the host first, or give it the role 'engine'",
        )
