"""Runs what comes on standard input, a line of JSON each: a command of the shell, or a program in
Python with its arguments. Answers each on standard output: a line of JSON, and then the bytes of
what it wrote, first to its standard output and then to its errors.

A program runs in a copy of this process, which knows the modules of earlier ones: starting an
interpreter and importing costs a host more than most programs do.

What takes longer than it may is ended with all that it started. What even SIGKILL does not end,
because the kernel waits for a card or a file server, is left behind.
"""

import contextlib
import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import traceback

Ended = tuple[int | None, bytes, bytes]
UNENDED: Ended = (None, b"", b"")


def run(command: str, seconds: float) -> Ended:
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
        return UNENDED
    return process.returncode, output, errors


def run_program(source: str, arguments: list[str], seconds: float) -> Ended:
    for name in re.findall(r"^(?:import|from) (\S+)", source, re.MULTILINE):
        # What is not there the program itself says.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Files in memory, which nobody has to read while the program writes.
    output, errors = os.memfd_create("output"), os.memfd_create("errors")
    process = os.fork()
    if process == 0:
        become(source, arguments, output, errors)
    ended = os.pidfd_open(process)
    try:
        if not select.select([ended], [], [], seconds)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            if select.select([ended], [], [], 1)[0]:
                os.waitpid(process, 0)
            return UNENDED
        _, status = os.waitpid(process, 0)
        return os.waitstatus_to_exitcode(status), written(output), written(errors)
    finally:
        for each in (ended, output, errors):
            os.close(each)


def become(source: str, arguments: list[str], output: int, errors: int) -> None:
    """Be the program; this does not return."""
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for own, standard in ((nothing, 0), (output, 1), (errors, 2)):
            os.dup2(own, standard)
        sys.argv = ["-c", *arguments]
        exec(compile(source, "<string>", "exec"), {"__name__": "__main__"})
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # Whatever is wrong with it: this copy must not go on as what it was made from.
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def written(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


def main() -> None:
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        if "program" in asked:
            ended, output, errors = run_program(
                asked["program"], asked["arguments"], asked["seconds"]
            )
        else:
            ended, output, errors = run(asked["command"], asked["seconds"])
        # As a shell says it of a signal.
        code = 128 - ended if ended is not None and ended < 0 else ended
        head = {"code": code, "output": len(output), "errors": len(errors)}
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + output + errors)
        sys.stdout.buffer.flush()


main()
