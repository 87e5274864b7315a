"""A command on a host that comes to no end does not keep the host tests from theirs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.host.bounded_ssh import BoundedSshBackend, HostHangsError
from tests.host.host_shell import RUN_COMMANDS, HostShell


@pytest.fixture
def backend() -> Iterator[BoundedSshBackend]:
    """A host that is this machine, reached by a shell in the place of ssh."""
    with closing(HostShell(["/bin/sh", "-c", RUN_COMMANDS])) as shell:
        yield BoundedSshBackend("box", shell)


def test_a_command_that_ends_says_how_and_what(backend: BoundedSshBackend) -> None:
    ran = backend.run("printf '%s %%' 'a word'; echo wrong >&2; exit 3")
    assert (ran.rc, ran.stdout, ran.stderr) == (3, "a word %", "wrong\n")


def test_an_exit_code_that_nobody_expected_is_said_without_a_traceback(
    backend: BoundedSshBackend,
) -> None:
    host = Host(backend)
    with pytest.raises(AssertionError) as told:
        host.check_output("python3 -c %s", "import os\nos.open(str(0), 0)")
    # pytest adds the expression that was false.
    assert str(told.value).partition("\nassert ")[0] == (
        "Unexpected exit code 1 for `python3 -c 'import os os.open(str(0), 0)'`, which said: "
        "FileNotFoundError: [Errno 2] No such file or directory: '0'"
    )
    with pytest.raises(AssertionError, match="code 1 for `false`, which said: nothing"):
        host.check_output("false")


def test_a_command_that_hangs_is_left_and_its_program_not_started_again(
    backend: BoundedSshBackend, tmp_path: Path
) -> None:
    waits, again = tmp_path / "waits", tmp_path / "again"
    with pytest.raises(HostHangsError, match=r"sleep 600.* has not ended after 1 s; expected"):
        backend.run(f"sleep 600 & echo $! > {waits}; wait", seconds=1)
    with pytest.raises(HostHangsError, match="has not ended after 1 s"):
        backend.run(f"sleep 0; touch {again}", seconds=1)
    assert not again.exists()
    assert backend.run("echo well").stdout == "well\n"
    # Nothing of it is left, where the second was enough for it to begin.
    assert not waits.exists() or _ended(int(waits.read_text() or 0))


def test_a_program_that_an_interpreter_ran_is_no_reason_to_do_without_it(
    backend: BoundedSshBackend,
) -> None:
    with pytest.raises(HostHangsError):
        backend.run("python3 -c 'import time; time.sleep(600)'", seconds=1)
    assert backend.run("python3 -c 'print(1)'").stdout == "1\n"


def test_a_program_has_its_arguments_and_says_how_it_ended(backend: BoundedSshBackend) -> None:
    source = "import sys\nprint(*sys.argv[1:])\nprint('wrong', file=sys.stderr)"
    ran = backend.run_program(source, "a word", "%s")
    assert (ran.rc, ran.stdout, ran.stderr) == (0, "a word %s\n", "wrong\n")
    failed = backend.run_program("import json\nprint(1)\nraise OSError('no disk')")
    assert (failed.rc, failed.stdout) == (1, "1\n")
    assert failed.stderr.endswith("OSError: no disk\n")
    assert backend.run_program("import not_there_at_all").rc == 1
    assert backend.run_program("import os\nos.kill(os.getpid(), 9)").rc == 128 + 9
    # What one of them did to its process is not there for the next.
    backend.run_program("import os, sys\nos.chdir('/proc')\nsys.argv = os.path = None")
    after = backend.run_program("import os\nprint(os.getcwd() == '/proc', os.path is None)")
    assert after.stdout == "False False\n"


def test_a_program_that_hangs_is_ended_with_what_it_started(
    backend: BoundedSshBackend, tmp_path: Path
) -> None:
    waits = tmp_path / "waits"
    source = f"import subprocess\nsubprocess.run('echo $$ > {waits}; exec sleep 600', shell=True)"
    with pytest.raises(
        HostHangsError, match=r"(?s)python3 -I -c .*has not ended after 1 s; expected"
    ):
        backend.run_program(source, seconds=1)
    assert not waits.exists() or _ended(int(waits.read_text() or 0))
    assert backend.run_program("print(1)").stdout == "1\n"


@pytest.mark.parametrize(
    "said",
    [
        "echo 'Welcome back'",
        "head -c 5000 /dev/zero",
        "echo '[1]'",
        'echo \'{"code": 0, "output": -1, "errors": 0}\'',
        'echo \'{"code": 0, "output": 99999999999, "errors": 0}\'',
        'echo \'{"code": "0", "output": 0, "errors": true}\'',
    ],
)
def test_what_is_no_answer_is_shown_with_where_it_may_come_from(said: str) -> None:
    with closing(HostShell(["/bin/sh", "-c", f"{said}; {RUN_COMMANDS}"])) as shell:
        backend = BoundedSshBackend("box", shell)
        with pytest.raises(RuntimeError, match=r"`echo well` has no answer: found .*bashrc"):
            backend.run("echo well")


def _ended(process: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
