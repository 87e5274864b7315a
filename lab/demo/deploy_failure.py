"""Find in what a failed deploy printed which operation failed first, and the lines that say why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Colours and cursor movements (ECMA-48 control sequences).
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_HEADER = re.compile(r"^\s*--> (?P<text>.+)$")
_OPERATION = re.compile(r"^Starting operation: (?P<name>.+?)\s*$")
# A host's own line: "    [lab1] text", after pyinfra's padding.
_HOST_LINE = re.compile(r"^\s*\[(?P<host>[^\]\s]+)\]\s*(?P<text>.*)$")
# What pyinfra prints last of an operation that failed on a host, and what tells nothing more.
_FAILED = re.compile(r"^Error(: executed \d+ commands.*)?$")
_SUCCEEDED = re.compile(r"^(Success|No changes|Connected|Skipped)\b")


@dataclass(frozen=True)
class DeployFailure:
    """Where a deploy failed, and the lines that say why, the cause first."""

    where: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Block:
    """What pyinfra printed under one of its headers."""

    header: str
    body: list[str]


def find_failure(output: str) -> DeployFailure:
    """Read the output of a deploy that ended with another exit code than 0."""
    blocks = list(_blocks(output))
    for block in blocks:
        operation = _OPERATION.match(block.header)
        failed = [index for index, line in enumerate(block.body) if _FAILED.match(_text(line))]
        if operation and failed:
            said = [_text(line) for line in block.body[: failed[0]]]
            cause = [text for text in said if text and not _SUCCEEDED.match(text)]
            return DeployFailure(operation["name"].replace(" | ", ": "), tuple(cause))
        if block.header.startswith("Refused: "):
            # The rest of the header says that reasons follow.
            reasons = tuple(_text(line) for line in block.body if line.strip())
            return DeployFailure("Preflight: refused, nothing was changed", reasons)
    return _ended_otherwise(blocks)


def _ended_otherwise(blocks: list[_Block]) -> DeployFailure:
    """The run ended outside an operation: while connecting, reading, or by a defect."""
    *earlier, last = blocks
    body = [line.strip() for line in last.body if line.strip()]
    if any(line.startswith("Traceback") for line in body):
        # A defect: the last line of a traceback is the exception itself.
        return DeployFailure(last.header, (body[-1],))
    # pyinfra ends with "No hosts remaining!", and why is what a host said before that.
    for block in reversed(earlier):
        of_hosts = [found["text"] for line in block.body if (found := _HOST_LINE.match(line))]
        reasons = [text for text in of_hosts if not _SUCCEEDED.match(text)]
        if reasons:
            return DeployFailure(block.header.rstrip("."), (*reasons, last.header))
    said = [text for text in (last.header, *body) if text]
    return DeployFailure("it ended before its first operation", tuple(said))


def _blocks(output: str) -> Iterator[_Block]:
    block = _Block("", [])
    for line in _CONTROL.sub("", output).splitlines():
        if found := _HEADER.match(line):
            yield block
            block = _Block(found["text"].strip(), [])
        else:
            block.body.append(line)
    yield block


def _text(line: str) -> str:
    """Return what a line says, without the host it is about; not every line names one."""
    found = _HOST_LINE.match(line)
    return (found["text"] if found else line).strip()
