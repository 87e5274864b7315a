"""Show a command's output as a terminal of 80 columns had it in the end, and draw it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lab.hosts import LabHost, ssh

WIDTH = 80
# Of a picture, which has room for pyinfra's tables.
PICTURE_WIDTH = 104
# Stands for lines that a record leaves out.
CUT = "[...]"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# A line's end, its beginning, a line up, the line erased, a colour, and other sequences, which move
# nothing here: titles, the cursor hidden and shown.
_TOKENS = re.compile(
    r"\n|\r|\x1b\[(?P<up>[0-9]*)A|(?P<erase>\x1b\[[0-2]?K)|\x1b\[[0-9;]*m"
    r"|\x1b(?:\][^\x07]*\x07|\[[0-9;?]*[A-Za-z]|[()][AB0]|[78=>])|[^\n\r\x1b]+"
)


def run_on_terminal(host: LabHost, command: str) -> tuple[int, list[str]]:
    """Run a command on the host in a terminal of its own; its exit code and the lines that stay."""
    inner = f"stty cols {WIDTH} rows 50; {command}"
    recorded = (
        f"TERM=xterm-256color script --quiet --return --log-out /dev/null --command '{inner}'"
    )
    # Bytes: read as text, a carriage return would be the end of a line.
    ran = subprocess.run(
        ssh.command_line(host.address, [recorded]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return ran.returncode, stays(ran.stdout.decode(errors="replace"))


def stays(output: str) -> list[str]:
    """The lines, with their colours, that are on the terminal when the command has ended.

    As far as progress needs it: what a line said is gone where it is erased, or written anew from
    its beginning.
    """
    lines, row, at_start = [""], 0, True
    for token in _TOKENS.finditer(output):
        text = token[0]
        if text == "\n":
            row, at_start = row + 1, True
            lines += [""] * (row + 1 - len(lines))
        elif text == "\r":
            at_start = True
        elif token["up"] is not None:
            row = max(0, row - int(token["up"] or 1))
        elif token["erase"]:
            lines[row] = ""
        elif _COLOURS.fullmatch(text) or text[0] != "\x1b":
            if at_start and _COLOURS.sub("", lines[row]) and text[0] != "\x1b":
                lines[row] = ""
            lines[row] += text
            at_start = at_start and text[0] == "\x1b"
    while lines and not _COLOURS.sub("", lines[-1]).strip():
        lines.pop()
    return [line.rstrip() for line in lines]


def plain(lines: list[str]) -> str:
    """The lines without colours."""
    return "\n".join(_COLOURS.sub("", line).rstrip() for line in lines)


def shortened(record: str, shown: dict[str, tuple[int, int]]) -> str:
    """A record of commands ("$ ...") with how many first and last lines of each one's output.

    By the command's second word, such as "deploy" of `fortyninety deploy`; others stay whole.
    """
    blocks = re.split(r"(?m)^(?=\$ )", record)
    return "\n\n".join(_shortened(block.strip(), shown) for block in blocks if block.strip())


def _shortened(block: str, shown: dict[str, tuple[int, int]]) -> str:
    command, *lines = block.splitlines()
    first, last = shown.get(command.split()[2], (len(lines), 0))
    if len(lines) > first + last + 1:
        lines = [*lines[:first], CUT, *lines[len(lines) - last :]]
    return "\n".join([command, *lines])


def draw(recorded: str, file: Path, *, title: str) -> None:
    """Write a record as the picture (SVG) of a terminal: commands in bold, ticks in green."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(
            record=True,
            width=PICTURE_WIDTH,
            file=nowhere,
            force_terminal=True,
            color_system="truecolor",
        )
        for line in recorded.splitlines():
            shown = Text(line)
            if line.startswith("$ "):
                shown.stylize("bold bright_white")
            shown.highlight_regex("✓|^Fits", "green")
            shown.highlight_regex(r"^\[\.\.\.\]$", "dim")
            console.print(shown)
        file.write_text(console.export_svg(title=title, unique_id="first-hour"))
