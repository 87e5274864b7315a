"""What a deploy that failed began on a box is ended once the box serves again.

Run by test_draining in a process of its own: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyinfra.connectors.util import CommandOutput, OutputLine

from fortyninety.fleet import draining
from fortyninety.plan.draining import draining_of
from tests.unit.readings import settings


class Box:
    """A box whose commands are run here: its program, and the file that says it is drained."""

    def __init__(self, folder: Path) -> None:
        self.program, self.mark, self.asked = folder / "drain", folder / "mark", folder / "asked"

    def has_a_program_that(self, does: str) -> None:
        self.program.write_text(f'#!/bin/sh\necho "$@" >>{self.asked}\n{does}\n')
        self.program.chmod(0o755)

    def attempt(self, host: Any, command: str, *, timeout: float) -> tuple[bool, CommandOutput]:
        assert host is self
        ran = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=timeout
        )
        said = [OutputLine("stderr", line) for line in ran.stderr.splitlines()]
        return ran.returncode == 0, CommandOutput(said)

    def taken_back(self) -> str | None:
        return draining.take_back(self, settings())  # type: ignore[arg-type]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    made = Box(tmp_path)
    its = replace(draining_of(settings()), program=str(made.program))
    monkeypatch.setattr(draining, "attempt", made.attempt)
    monkeypatch.setattr(draining, "draining_of", lambda settings: its)
    monkeypatch.setattr(draining, "DRAINED", made.mark)
    return made


def test_a_box_that_is_not_drained_is_asked_nothing(box: Box) -> None:
    box.has_a_program_that("exit 1")
    assert box.taken_back() is None and not box.asked.exists()


def test_one_that_a_deploy_drained_takes_requests_again(box: Box) -> None:
    box.mark.touch()
    box.has_a_program_that("exit 0")
    assert box.taken_back() is None
    asked = box.asked.read_text().split()
    assert asked[0] == "end" and "--of-deploy" in asked


def test_one_without_the_program_takes_them_from_its_moment_on(box: Box) -> None:
    box.mark.touch()
    assert box.taken_back() is None


def test_one_that_cannot_says_why(box: Box) -> None:
    box.mark.touch()
    box.has_a_program_that("echo no gateway >&2; exit 1")
    assert box.taken_back() == "no gateway"
