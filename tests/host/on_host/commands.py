"""Runs commands that come on standard input, a line of JSON each, and answers each on standard
output: a line of JSON, and then the bytes of what the command wrote, first to its standard output
and then to its errors.

A command that takes longer than it may is ended with all that it started. One that even SIGKILL
does not end, because the kernel waits for a card or a file server, is left behind.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys


def run(command: str, seconds: float) -> tuple[int | None, bytes, bytes]:
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        return None, b"", b""
    return process.returncode, output, errors


def main() -> None:
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        ended, output, errors = run(asked["command"], asked["seconds"])
        # As a shell says it of a signal.
        code = 128 - ended if ended is not None and ended < 0 else ended
        head = {"code": code, "output": len(output), "errors": len(errors)}
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + output + errors)
        sys.stdout.buffer.flush()


main()
