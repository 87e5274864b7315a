"""The command line of `restore`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from fortyninety.on_host import restore
from fortyninety.on_host.restore.note import forget, note
from fortyninety.on_host.restore.restoring import restored
from fortyninety.on_host.roll_back import Failure, Unit

# Characters of a line that are looked at.
LONGEST_LINE = 2000


def run(command: list[str]) -> tuple[int, str]:
    """Run the command; return its exit code and the first line that it wrote as its error."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as child:
        assert child.stderr is not None
        first = ""
        for line in child.stderr:
            first = first or line.strip()[:LONGEST_LINE]
            say(line.rstrip("\n"))
    return child.returncode, first or f"{command[0]} ended with {child.returncode}"


def say(line: str) -> None:
    """Write a line on standard error, where somebody reads it still."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def ending(options: argparse.Namespace, failed: str) -> str | None:
    """What came of putting back what served before, in words; None where nothing did."""
    try:
        again = restored(options, failed)
    except Failure as failure:
        what = "was put back and does not serve" if failure.changed else "nothing was put back"
        return f"{what}: {failure}"
    except OSError as error:
        return f"putting back what served before failed: {error}"
    if again is None:
        return None
    if options.then:
        subprocess.run(["sh", "-c", options.then], stdout=subprocess.DEVNULL, check=False)
    return f"put back: {again}"


def main() -> int:
    """Run the command, and make up for its failure."""
    parser = argparse.ArgumentParser(description=(restore.__doc__ or "").partition("\n")[0])
    parser.add_argument("--install-directory", required=True)
    parser.add_argument("--unit", required=True, help="the unit on disk")
    parser.add_argument("--port", type=int, required=True, help="of a unit that does not say")
    parser.add_argument("--wait", type=int, required=True, help="seconds for the first answer")
    parser.add_argument("--run", required=True, help="the run whose lease the host's is")
    parser.add_argument("--note", type=Path, required=True, help="where to note what failed")
    parser.add_argument(
        "--answered", action="store_true", help="the command ends well only once it answered"
    )
    parser.add_argument("--then", help="a shell command for a host that serves again")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    options.engine = None

    configuration = Unit(Path(options.unit)).configuration
    code, cause = run(options.command)
    if code == 0:
        # A process that started has not served yet.
        if options.answered:
            forget(options.note, configuration)
        return 0
    with suppress(OSError):
        note(options.note, configuration, cause)
    if (said := ending(options, configuration)) is not None:
        say(f"{cause}; {said}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
