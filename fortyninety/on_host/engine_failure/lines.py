"""Read one line of a log: without control characters, and who wrote it at which level."""

from __future__ import annotations

import re

# How many characters of a message are read, and of a line printed.
MOST_CHARACTERS = 4_000
LONGEST_LINE = 300

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b.")
# "(EngineCore_DP0 pid=12) ", "(VllmWorker rank=1 pid=31) ", "[rank0]: ": which process speaks.
SPEAKER = re.compile(r"\((?:[A-Za-z_]\w*)(?: \w+=\S+)*\) ?|\[rank\d+\]:(?: |$)")
# "ERROR 11-26 01:02:03 [core.py:700] ".
HEADER = re.compile(
    r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? \[[^\]]+\](?: |$)"
)


def clean(text: str) -> str:
    """Return `text` without escape sequences and control characters; tabs become blanks."""
    text = ESCAPES.sub("", text.replace("\t", " "))
    return "".join(each for each in text if each.isprintable())


def one_line(text: str) -> str:
    """Return `text` with its blanks collapsed, cut at LONGEST_LINE characters."""
    joined = " ".join(clean(text).split())
    return joined if len(joined) <= LONGEST_LINE else f"{joined[: LONGEST_LINE - 1]}…"


def unprefixed(text: str) -> tuple[str, str, str]:
    """Split a line into who speaks, the level of its log header ("" without one), and the rest."""
    speaker = ""
    while match := SPEAKER.match(text):
        speaker += match[0].strip()
        text = text[match.end() :]
    if match := HEADER.match(text):
        return speaker, match[1], text[match.end() :]
    return speaker, "", text
