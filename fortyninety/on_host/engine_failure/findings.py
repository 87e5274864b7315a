"""Find the errors in the lines of one start, and which of them explains most."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from fortyninety.on_host.engine_failure.journal import EXITED, FAILED_TO_EXECUTE, Entry
from fortyninety.on_host.engine_failure.known import remedy_of
from fortyninety.on_host.engine_failure.lines import MOST_CHARACTERS, clean, one_line, unprefixed

# How much an error explains: the lowest wins, and of equals the first. RAISED ended its process,
# SURVIVED is one whose process went on working, and OUTER tells of another one.
RAISED, CRASHED, CELL, PEER, SURVIVED, LOGGED, HANDLED, OUTER, RESULT = range(9)

TRACEBACK = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\):")
CHAINED = re.compile(
    r"(?:The above exception was the direct cause of|During handling of the above exception)"
)
FRAME = re.compile(r'\s+File "([^"]+)", line (\d+), in (.+)')
FINAL = re.compile(r"([A-Za-z_][\w.]*)(?:: ?(.*))?$")
VALIDATION = re.compile(r"\d+ validation errors? for ")

# Exceptions that tell of another one, which was logged before or by another process. Source: vLLM
# 0.6.3.post1 to 0.32.0, where they are raised after a child process ended.
OUTER_TYPES = (
    "SystemExit",
    "KeyboardInterrupt",
    "CancelledError",
    "EngineDeadError",
    "GeneratorExit",
)
OUTER_MESSAGES = re.compile(
    r"root cause|check the logs|Engine core initialization failed|Engine process failed to start"
    r"|background process|Engine loop has died|EngineCore encountered an issue"
    r"|died unexpectedly|cancelled|Executor failed"
)
PEER_MESSAGES = re.compile(
    r"Connection closed by peer|Connection reset by peer|remote process exited|Broken pipe"
)
# What comes before the traceback of an error that ends nothing.
HANDLED_BEFORE = re.compile(r"Exception ignored in|Exception in ASGI application")
# Errors that come without a traceback.
FATAL_LINES = re.compile(
    r"(?:\S+\.py|vllm\S*|-c): error: .+"
    r"|.*error while loading shared libraries: .+"
    r"|Fatal Python error: .+"
    r"|\S*python[\d.]*: (?:No module named|can't open file|Error while finding) .+"
    r"|ERROR:\s+\[Errno \d+\] .+"
    r"|terminate called after throwing an instance of .+"
    r"|\s+what\(\): .+"
    r"|cell: \[Errno \d+\] .+"
)
# What systemd writes before its messages.
UNIT_BEFORE = re.compile(r"^\S+\.service: ")
CELL_ENDS = re.compile(r"cell: (ending the engine: .+)")
DIED = re.compile(r".*died unexpectedly.*")
# What a process that ends still logs; any other line shows that it went on.
FAREWELL = re.compile(r"shut(?:ting)? ?down|terminat|Killing", re.IGNORECASE)
# Exceptions that do not say what they are about without the place where they were raised.
PLACELESS = (
    "AssertionError",
    "Exception",
    "IndexError",
    "JSONDecodeError",
    "KeyError",
    "UnicodeDecodeError",
)
LIBRARY = "/site-packages/"


@dataclass
class Finding:
    """An error that was found: `weight` is one of RAISED to RESULT, `chain` joins chained errors.

    `speaker` is the process that logged it, or "" where that is not known.
    """

    weight: int
    text: str
    chain: int
    speaker: str = ""


@dataclass
class _Stream:
    """Where one speaker's lines stand: in a traceback or not, and what came before it."""

    in_traceback: bool = False
    handled: bool = False
    chain: int = 0
    chained: bool = False
    # The latest frame, and the latest of a library rather than of Python's own.
    frame: str = ""
    library_frame: str = ""
    # An error whose message goes on in the next line, and its name.
    unfinished: Finding | None = None
    name: str = ""


class Findings:
    """The errors in one start's lines, each with how much it explains."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._streams: dict[tuple[str, bool], _Stream] = {}
        self._chains = 0

    def read(self, entry: Entry) -> None:
        """Take the next entry of the start."""
        if entry.message_id == EXITED:
            self._exited(entry)
        if entry.message_id == FAILED_TO_EXECUTE:
            self._add(RAISED, UNIT_BEFORE.sub("", entry.text))
        if entry.message_id:
            return
        for text in entry.text[:MOST_CHARACTERS].splitlines():
            speaker, level, rest = unprefixed(clean(text))
            stream = self._streams.setdefault((speaker, level != ""), _Stream())
            self._line(stream, speaker, level, rest)

    def best(self) -> Finding | None:
        """Return the error that explains most, or None where there is none.

        Of errors that were raised while another was handled, the first counts, unless one of the
        others is a known one and the first is not.
        """
        if not self._found:
            return None
        first = min(self._found, key=lambda each: each.weight)
        chained = [
            each
            for each in self._found
            if each.chain == first.chain and each.weight == first.weight
        ]
        known = (each for each in chained if remedy_of(each.text) is not None)
        return next(known, first)

    def _add(self, weight: int, text: str, chain: int | None = None, speaker: str = "") -> Finding:
        if chain is None:
            chain = self._next_chain()
        found = Finding(weight, one_line(text), chain, speaker)
        self._found.append(found)
        return found

    def _next_chain(self) -> int:
        self._chains += 1
        return self._chains

    def _exited(self, entry: Entry) -> None:
        status = entry.exit_status
        if entry.exit_code == "exited":
            self._add(RESULT, f"the engine ended with exit code {status} and logged no error")
            return
        try:
            name = signal.Signals(int(status)).name
        except ValueError:
            name = f"signal {status}"
        if name in ("SIGKILL", "SIGTERM", "SIGINT"):
            self._add(RESULT, f"the engine was ended by {name}, which it did not send itself")
        else:
            self._add(CRASHED, f"the engine crashed with {name}")

    def _line(self, stream: _Stream, speaker: str, level: str, text: str) -> None:
        if level in ("DEBUG", "INFO", "WARNING") and not FAREWELL.search(text):
            self._survived(speaker)
        if TRACEBACK.match(text.lstrip(" +|")):
            if not stream.chained:
                stream.chain = self._next_chain()
            stream.in_traceback, stream.chained, stream.unfinished = True, False, None
            stream.frame = stream.library_frame = ""
            return
        if stream.in_traceback:
            self._in_traceback(stream, speaker, level, text)
            return
        if CHAINED.match(text):
            stream.chained, stream.unfinished = True, None
        elif stream.unfinished is not None and text.strip():
            self._go_on(stream, stream.unfinished, text)
        if HANDLED_BEFORE.search(text):
            stream.handled = True
        elif match := CELL_ENDS.match(text):
            self._add(CELL, match[1])
        elif level == "" and FATAL_LINES.match(text):
            self._add(RAISED, text.removeprefix("ERROR:"))
        elif DIED.match(text):
            self._add(PEER, text)
        elif level in ("ERROR", "CRITICAL") and text.strip() and not text.startswith(" "):
            self._add(OUTER if OUTER_MESSAGES.search(text) else LOGGED, text)

    def _survived(self, speaker: str) -> None:
        """Take what this process raised for handled: it goes on.

        Lines without a process's name come from several; nothing can be said of those.
        """
        for found in self._found:
            if speaker and found.speaker == speaker and found.weight == RAISED:
                found.weight = SURVIVED

    def _in_traceback(self, stream: _Stream, speaker: str, level: str, text: str) -> None:
        if match := FRAME.match(text):
            stream.frame = f"{match[1].rpartition('/')[2]}, line {match[2]}, in {match[3]}"
            if LIBRARY in match[1]:
                stream.library_frame = stream.frame
            return
        match = None if text.startswith((" ", "|", "+")) else FINAL.match(text)
        if match is None:
            return
        stream.in_traceback = False
        stream.name, said = match[1].rpartition(".")[2], (match[2] or "").strip()
        place = stream.library_frame or stream.frame
        if (stream.name in PLACELESS or not said) and place:
            said = f"{said} ({place})".strip()
        if stream.handled or level in ("DEBUG", "INFO", "WARNING"):
            weight = HANDLED
        elif stream.name in OUTER_TYPES or OUTER_MESSAGES.search(said):
            weight = OUTER
        elif PEER_MESSAGES.search(said):
            weight = PEER
        else:
            weight = RAISED
        stream.handled = False
        found = self._add(weight, f"{stream.name}: {said}", stream.chain, speaker)
        if VALIDATION.match(said) or text.rstrip().endswith(":"):
            stream.unfinished = found

    def _go_on(self, stream: _Stream, found: Finding, text: str) -> None:
        """Add a line to an error whose first line says little, such as pydantic's."""
        said = found.text.removeprefix(f"{stream.name}: ")
        # Pydantic: the number of errors, then the field's name if it is one field's, then what is
        # wrong with it and, in brackets, what was given.
        said = "" if VALIDATION.match(said) else f"{said} "
        more_text = text.strip().removeprefix("Value error, ").partition(" [type=")[0]
        found.text = one_line(f"{stream.name}: {said}{more_text}")
        if OUTER_MESSAGES.search(found.text):
            found.weight = OUTER
        if text.startswith(" ") or len(text.split()) > 1:
            stream.unfinished = None
