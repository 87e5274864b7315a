"""One run of ssh for all that is run on a host: its own python3 runs it there, and answers."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

# How much later than its command an answer may come: the host itself ends what takes too long.
ANSWER_SECONDS = 20
# What a host may say to one command: far above what any test reads.
LARGEST = 256 * 2**20
_PROGRAM = (Path(__file__).parent / "on_host" / "commands.py").read_text()
# Isolated from the host's environment and additions, which may be what is wrong there.
RUN_COMMANDS = f"exec python3 -I -S -c {quote(_PROGRAM)}"


class HostShell:
    """Runs commands on a host, one after the other, over the connection that `words` make."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self._ssh: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (it is there as long as the shell)
        self._read = b""

    def run(self, command: str, seconds: float) -> tuple[int, bytes, bytes]:
        """Run a command: its exit code, its output and its errors.

        Raises TimeoutError where it has not ended after `seconds`, ConnectionError with what ssh
        says where the connection ends; the next command makes another.
        """
        return self._answer({"command": command, "seconds": seconds})

    def run_program(
        self, source: str, arguments: Sequence[str], seconds: float
    ) -> tuple[int, bytes, bytes]:
        """Run a program in Python of the standard library alone, as `run` does a command."""
        return self._answer({"program": source, "arguments": [*arguments], "seconds": seconds})

    def _answer(self, asked: dict[str, Any]) -> tuple[int, bytes, bytes]:
        deadline = time.monotonic() + asked["seconds"] + ANSWER_SECONDS
        try:
            self._write(json.dumps(asked).encode() + b"\n")
            code, *lengths = _head(self._line(deadline))
            output, errors = (self._bytes(length, deadline) for length in lengths)
        except BaseException:
            # What still comes is no answer to the next command.
            self.close()
            raise
        if code is None:
            raise TimeoutError
        return code, output, errors

    def close(self) -> None:
        """End ssh; the host then ends what runs the commands."""
        if self._ssh is None:
            return
        with self._ssh as ssh:
            os.killpg(ssh.pid, signal.SIGKILL)
        self._ssh, self._read = None, b""

    def _write(self, asked: bytes) -> None:
        if self._ssh is None:
            self._said.seek(0)
            self._said.truncate()
            self._ssh = subprocess.Popen(
                self._words,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                # Ctrl-C is for who asks, and not for what answers.
                start_new_session=True,
            )
        assert self._ssh.stdin is not None
        try:
            self._ssh.stdin.write(asked)
        except BrokenPipeError:
            raise self._lost() from None

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._read:
            if len(self._read) > 1000:
                raise _no_answer(self._read)
            self._more(deadline)
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _bytes(self, count: int, deadline: float) -> bytes:
        while len(self._read) < count:
            self._more(deadline)
        taken, self._read = self._read[:count], self._read[count:]
        return taken

    def _more(self, deadline: float) -> None:
        assert self._ssh is not None and self._ssh.stdout is not None
        left = max(0.0, deadline - time.monotonic())
        if not select.select([self._ssh.stdout], [], [], left)[0]:
            raise TimeoutError
        if not (some := os.read(self._ssh.stdout.fileno(), 65536)):
            raise self._lost()
        self._read += some

    def _lost(self) -> ConnectionError:
        """What ssh says of a connection that ended."""
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        return ConnectionError(said or "the connection ended")


def _head(line: bytes) -> tuple[int | None, int, int]:
    """How a command ended, and how many bytes of output and errors follow."""
    try:
        head = json.loads(line)
        code, output, errors = head["code"], head["output"], head["errors"]
    except (ValueError, KeyError, TypeError):
        raise _no_answer(line) from None
    if not (
        (code is None or type(code) is int)
        and all(type(length) is int and 0 <= length <= LARGEST for length in (output, errors))
    ):
        raise _no_answer(line)
    return code, output, errors


def _no_answer(found: bytes) -> ConnectionError:
    return ConnectionError(
        f"found {found[:80]!r}; expected only what commands answer: does a file that the login's "
        "shell reads, such as ~/.bashrc, print something?"
    )
