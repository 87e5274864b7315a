"""What is said while a command waits, of paths and names that look like styles."""

from __future__ import annotations

import io

from rich.console import Console

from fortyninety.cli.waiting import LONGEST, waiting


def rendered(said: str) -> str:
    status = waiting(said)
    page = Console(file=io.StringIO(), width=1000)
    page.print(status.renderable)
    text: str = page.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_brackets_are_no_style() -> None:
    assert "reading boxes[/old]/[bold]prod.py" in rendered("reading boxes[/old]/[bold]prod.py")


def test_it_is_short_and_nothing_that_a_terminal_obeys() -> None:
    text = rendered("reading \x1b[2Jx" + "y" * 5000)
    assert "\x1b" not in text and "\\x1b[2Jx" in text
    assert text.count("y") <= LONGEST
