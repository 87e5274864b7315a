"""Run what reads from the network as an account that may do nothing else on this host.

Such a process has no capability and cannot get one, sees none of root's environment, and ends with
whatever it started: its first process is a shell of root's in a PID namespace of its own, with
which the kernel ends all others. What it says is cut off after a few lines.
"""

import contextlib
import os
import pwd
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from fortyninety.on_host.snapshot.failures import Failure

# Made at the first fetch: no home, no shell, no group but its own.
ACCOUNT = "fortyninety-fetch"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# What of root's environment says how this host reaches the network.
_NETWORK = ("http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")
# Processes and threads that the account may have.
_MOST_PROCESSES = 256
_MOST_SAID = 4096


@dataclass(frozen=True)
class Account:
    """Who reads from the network."""

    user: int
    group: int


def fetching_account(name: str = ACCOUNT) -> Account | None:
    """The account, made where it is missing; None where this is not root, and so no less.

    Raises Failure where it cannot be made or would be root.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        entry = _made(name)
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise Failure(f"account {name} is root; expected one without rights")
    return Account(entry.pw_uid, entry.pw_gid)


def _made(name: str) -> pwd.struct_passwd:
    command = [
        *("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"),
        *("--shell", "/usr/sbin/nologin", "--", name),
    ]
    made = subprocess.run(
        command, env={"PATH": PATH}, capture_output=True, text=True, check=False, timeout=60
    )
    try:
        return pwd.getpwnam(name)
    except KeyError as error:
        raise Failure(f"account {name} cannot be made: {made.stderr.strip()}") from error


def network_environment() -> dict[str, str]:
    """How this host reaches the network, and nothing else of root's environment."""
    return {name: value for name, value in os.environ.items() if name.lower() in _NETWORK}


def without_rights(command: Sequence[str], account: Account | None) -> list[str]:
    """The command, run as the account from its first moment on."""
    if account is None:
        return list(command)
    return [
        *("setpriv", f"--reuid={account.user}", f"--regid={account.group}", "--clear-groups"),
        *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--", *command),
    ]


class Process:
    """A process that is watched over, with what it says on standard error."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self.popen = popen
        self._said = bytearray()
        assert popen.stderr is not None
        self._listening = threading.Thread(target=self._listen, args=(popen.stderr,), daemon=True)
        self._listening.start()

    def running(self) -> bool:
        """Whether it goes on."""
        return self.popen.poll() is None

    def end(self) -> tuple[int, list[str]]:
        """End it and all that it started; its exit code and the first lines that it said."""
        self.popen.kill()
        code = self.popen.wait()
        self._listening.join(timeout=5)
        return code, self._said.decode(errors="replace").strip().splitlines()

    def _listen(self, stream: IO[bytes]) -> None:
        while piece := os.read(stream.fileno(), _MOST_SAID):
            self._said += piece[: _MOST_SAID - len(self._said)]


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    account: Account | None,
    environment: dict[str, str],
    largest_file: int,
    folder: int | None = None,
    stdout: int = subprocess.DEVNULL,
) -> Iterator[Process]:
    """Run a command that reads from the network, and end it with all that it started.

    `largest_file` is what it may write into one file at most, in bytes. `folder` is the descriptor
    of its working folder. `account` says only whether there are namespaces to be had: the command
    gives up its rights itself, as `without_rights` does.
    """
    limits = [
        *("prlimit", f"--fsize={largest_file}", "--core=0", f"--nproc={_MOST_PROCESSES}", "--"),
    ]
    alone = []
    if account is not None:
        # The shell is the namespace's first process: with it the kernel ends all others. It ends
        # when this process does, whatever ends that.
        shell = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
        unshare = ("unshare", "--pid", "--fork", "--kill-child", "--")
        alone = ["setpriv", "--pdeathsig=KILL", "--", *unshare, *shell]
    popen = subprocess.Popen(
        [*alone, *limits, *command],
        cwd="/" if folder is None else f"/proc/self/fd/{folder}",
        env={"PATH": PATH, "LANG": "C.UTF-8", **environment},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    process = Process(popen)
    try:
        yield process
    finally:
        process.end()
        for stream in (popen.stdin, popen.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
