"""Read from git what a commit consists of, so that the commit's own name proves the list.

A commit's name is a hash over its tree, the tree's over the names of its files, and a large file's
git object is a Git LFS pointer with its SHA-256 and size. Whoever answers, what the system's git
accepts under that name is what was pinned. Git's SHA-1 is the one that detects collisions (its
default since 2.13, Documentation/RelNotes/2.13.0.txt).

The server is untrusted. Git runs without the user's configuration, hooks, helpers and prompts, in a
folder of its own, and time, disk and memory have limits.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fortyninety.on_host.checkpoint_files import MOST_FILES, File, FileListError, parse_files
from fortyninety.text.printable import printable

# What is no pointer is hashed from its own bytes. The public hub takes none of more than 10 MB that
# is no pointer (docs/snapshot.md).
LARGEST_SMALL = 16 * 2**20
# Seconds for everything, and of less than 1 KiB each; bytes for each file that git writes, which is
# one pack and one output a command; bytes of address space for each of its processes.
PATIENCE = 120.0
SILENCE = 30
MOST_DISK = 128 * 2**20
MOST_MEMORY = 4 * 2**30
# Without GIT_CONFIG_COUNT (2.31) an older git would run as the user's files say.
OLDEST = (2, 31)

_FROM_ENVIRONMENT = ("PATH", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
# Disk in the shell's blocks of 512 bytes. A system that cannot limit memory does without.
_LIMITED = 'ulimit -f "$1" && { ulimit -v "$2" || :; } 2>/dev/null && shift 2 && exec "$@"'
_VERSION = re.compile(rb"git version (\d+)\.(\d+)")
_ENTRY = re.compile(rb"(\d{6}) [a-z]+ ([0-9a-f]{40})\t(.+)", re.DOTALL)
_REGULAR = (b"100644", b"100755")
_OTHERS = {b"120000": "a link", b"160000": "a submodule"}
# docs/spec.md of Git LFS: keys in this order, each line with its end, less than 1024 bytes.
_POINTER_BEGINS = b"version https://git-lfs.github.com/spec/"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"oid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]{0,14})\n"
)
_LONGEST_POINTER = 1024
# How the author and the date of a commit are written says nothing about its files.
_UNIMPORTANT = (
    *("badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail"),
    *("missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail"),
    "zeroPaddedDate",
)
# What git says (2.39) of objects that are not what they are called. Not what it says where the
# connection was cut, or a limit reached.
_WRONG = re.compile(
    r"fsck error|pack is corrupted|pack has bad object|bad object|COLLISION|"
    r"did not send all necessary objects"
)
_REASONS = (
    ("could not read Username", "its git wants a token that may read it (hub_token)"),
    ("Authentication failed", "its git does not take the token (hub_token)"),
    ("/' not found", "it speaks no git"),
    ("is this a git repository?", "it speaks no git"),
    ("unadvertised object", "its git gives no commit by name"),
    ("not our ref", "its git does not have that commit"),
)


class GitSilent(Exception):
    """Why git cannot say what a commit consists of, in a few printable words."""


def commit_files(address: str, revision: str, token: str | None = None) -> tuple[File, ...]:
    """Return the files of the commit in a repository at an https address, all with a SHA-256.

    Raises GitSilent where git is not there or gives no answer, and FileListError where the commit
    has what no checkpoint may have, or what came is not the commit.
    """
    program = shutil.which("git")
    if program is None:
        raise GitSilent("git is not installed")
    with tempfile.TemporaryDirectory(
        prefix="fortyninety-git-", ignore_cleanup_errors=True
    ) as folder:
        git = _Git(program, Path(folder), time.monotonic() + PATIENCE)
        git.refuse_old()
        git.fetch(address, revision, token)
        return parse_files(list(git.files(revision)))


class _Git:
    """The system's git over a repository of its own below a folder, until a time."""

    def __init__(self, program: str, folder: Path, until: float) -> None:
        self._program = program
        self._folder = folder
        self._until = until
        self._repository = folder / "repository"

    def refuse_old(self) -> None:
        found = _VERSION.match(self._run("version"))
        if found is None:
            raise GitSilent("git does not say its version")
        version = int(found[1]), int(found[2])
        if version < OLDEST:
            raise GitSilent(f"git {version[0]}.{version[1]} is older than {OLDEST[0]}.{OLDEST[1]}")

    def fetch(self, address: str, revision: str, token: str | None) -> None:
        """Bring the commit, its trees and its small files. Raises GitSilent, FileListError."""
        self._run("init", "--quiet", "--bare", "--template=", str(self._repository))
        self._run(
            *("fetch", "--quiet", "--depth=1", f"--filter=blob:limit={LARGEST_SMALL + 1}"),
            *("--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
            *("--no-auto-maintenance", "hub", revision),
            configuration=_remote(address, token),
            protocol="https",
        )
        # As fetch leaves it, what is missing would be fetched by each later command.
        (self._repository / "config").write_text(
            "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
        )

    def files(self, revision: str) -> Iterator[dict[str, object]]:
        """The commit's files, in the form of a list. Raises GitSilent, FileListError."""
        paths: dict[str, bytes] = {}
        listed = self._run("ls-tree", "-r", "-z", "--full-tree", revision)
        for path, name in _entries(listed):
            paths[path] = name
        contents = self._contents(sorted(set(paths.values())), paths)
        for path, name in paths.items():
            size, sha256 = contents[name]
            if sha256 is None:
                raise FileListError(f"{path!a} of the commit is a pointer that cannot be read")
            yield {"path": path, "size": size, "sha256": sha256, "blob": name.decode()}

    def _contents(
        self, names: list[bytes], paths: dict[str, bytes]
    ) -> dict[bytes, tuple[int, str | None]]:
        """The size and SHA-256 that each object stands for."""
        given = b"".join(name + b"\n" for name in names)
        sizes = self._run("cat-file", "--batch-check=%(objectname) %(objectsize)", given=given)
        total = 0
        for name, line in zip(names, sizes.splitlines(), strict=True):
            if line == name + b" missing":
                path = next(path for path, each in paths.items() if each == name)
                raise GitSilent(f"its git leaves out {path!a}")
            total += int(line.split()[1])
        if total + 100 * len(names) > MOST_DISK:
            raise GitSilent(f"the commit has more than {MOST_DISK} bytes in small files")
        found = {}
        rest = memoryview(self._run("cat-file", "--batch=%(objectsize)", given=given))
        for name in names:
            head = bytes(rest[:20]).split(b"\n", 1)[0]
            start = len(head) + 1
            end = start + int(head)
            found[name] = _stands_for(rest[start:end])
            rest = rest[end + 1 :]
        return found

    def _run(
        self,
        *arguments: str,
        configuration: dict[str, str] | None = None,
        protocol: str = "none",
        given: bytes = b"",
    ) -> bytes:
        """Run git and return its output. Raises GitSilent, FileListError.

        Settings go through the environment, where other users do not see a token.
        """
        command = ["/bin/sh", "-c", _LIMITED, "sh", str(MOST_DISK // 512), str(MOST_MEMORY // 1024)]
        command += [self._program, f"--git-dir={self._repository}", *arguments]
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile(dir=self._folder)) for _ in "ioe"]
            files[0].write(given)
            files[0].seek(0)
            process = subprocess.Popen(
                command,
                stdin=files[0],
                stdout=files[1],
                stderr=files[2],
                cwd=self._folder,
                env=self._environment(configuration or {}, protocol),
                start_new_session=True,
            )
            try:
                status = process.wait(max(0.0, self._until - time.monotonic()))
            except BaseException as error:
                # With all that it started.
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise GitSilent(f"git takes more than {PATIENCE:.0f} s") from None
                raise
            for each in files[1:]:
                each.seek(0)
            if status != 0:
                _raise(files[2].read(2**16).decode(errors="replace"), status)
            return files[1].read()

    def _environment(self, configuration: dict[str, str], protocol: str) -> dict[str, str]:
        """All that git gets, and nothing of GIT_* that the user has."""
        names = {*_FROM_ENVIRONMENT, *(name.upper() for name in _FROM_ENVIRONMENT)}
        environment = {name: os.environ[name] for name in names if name in os.environ}
        environment |= {
            "HOME": str(self._folder),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_ALLOW_PROTOCOL": protocol,
            "GIT_CONFIG_COUNT": str(len(configuration)),
        }
        for number, (key, value) in enumerate(configuration.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return environment


def _remote(address: str, token: str | None) -> dict[str, str]:
    """The settings of git for a fetch from an address."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH  # noqa: PLC0415

    # The same authorities as for the list.
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    settings = {
        "remote.hub.url": address,
        "protocol.version": "2",
        "http.followRedirects": "false",
        "http.sslVerify": "true",
        "http.sslCAInfo": bundle or DEFAULT_CA_BUNDLE_PATH,
        "http.lowSpeedLimit": "1024",
        "http.lowSpeedTime": str(SILENCE),
        "fetch.fsckObjects": "true",
        **{f"fetch.fsck.{each}": "ignore" for each in _UNIMPORTANT},
        # One pack, whatever it holds, so that its length is what is limited.
        "fetch.unpackLimit": "1",
        "core.bigFileThreshold": str(LARGEST_SMALL),
        "core.hooksPath": os.devnull,
        "pack.threads": "1",
        "credential.helper": "",
    }
    if token is not None:
        # A user of any name with the token as its password: what the public hub documents for git.
        basic = base64.b64encode(f"user:{token}".encode()).decode()
        settings[f"http.{address}.extraHeader"] = f"Authorization: Basic {basic}"
    return settings


def _entries(listed: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and name of each regular file. Raises FileListError for what is none."""
    entries = listed.split(b"\0")[:-1]
    if len(entries) > MOST_FILES:
        raise FileListError(f"the commit has {len(entries)} files; at most {MOST_FILES} are taken")
    for entry in entries:
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise FileListError(f"the commit has the entry {entry!a:.120}")
        mode, name, path = match.groups()
        if mode not in _REGULAR:
            raise FileListError(f"{path!a:.120} is {_OTHERS.get(mode, 'no file')} in the commit")
        try:
            yield path.decode(), name
        except UnicodeDecodeError as error:
            raise FileListError(f"{path!a:.120} of the commit is not valid UTF-8") from error


def _stands_for(content: memoryview) -> tuple[int, str | None]:
    """Size and SHA-256 of what a git object stands for; no SHA-256 for a pointer that is none."""
    if len(content) < _LONGEST_POINTER and bytes(content).startswith(_POINTER_BEGINS):
        match = _POINTER.fullmatch(content)
        return (0, None) if match is None else (int(match[2]), match[1].decode())
    return len(content), hashlib.sha256(content).hexdigest()


def _raise(said: str, status: int) -> None:
    """Raise FileListError where git found wrong objects, and GitSilent otherwise."""
    lines = [line for line in said.splitlines() if line.startswith(("fatal: ", "error: "))]
    first = printable(lines[0] if lines else f"it ends with {status}", 200)
    if _WRONG.search(said):
        raise FileListError(f"what its git sends is not the commit ({first})")
    for text, reason in _REASONS:
        if text in said:
            raise GitSilent(reason)
    raise GitSilent(f"git says: {first}")
