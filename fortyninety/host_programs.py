"""The programs that a deploy puts onto the host: single files of `fortyninety/host/`."""

from __future__ import annotations

from pathlib import Path

BUILD_ENVIRONMENT = "build_environment.py"
TRY_ENGINE = "try_engine.py"
CHECK_COMMAND_LINE = "check_command_line.py"
ROLL_BACK = "roll_back.py"
SNAPSHOT = "snapshot.py"
COMPLETE = "complete.py"
ENGINE_FAILURE = "engine_failure.py"
CELL_MEMBER = "cell_member.py"


def program(file_name: str) -> str:
    """The text of a program of `fortyninety/host/`."""
    return (Path(__file__).parent / "host" / file_name).read_text()
