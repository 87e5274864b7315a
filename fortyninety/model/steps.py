"""Ask one host for the steps that bring a checkpoint to it, and take its answers for hearsay.

The steps are those of `fortyninety/on_host/snapshot`. Each has a deadline that fits the bytes it
moves. What a host answers is parsed and held to the trusted list: a host that says anything else
fails by itself, and named.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from fortyninety.on_host.checkpoint_files import LONGEST_TEXT, File
from fortyninety.text.printable import printable

LOCAL, CUT, WRONG_BYTES, REFUSED = 1, 3, 4, 5
"""How a step ends when it fails, by the exit codes of `fortyninety/on_host/snapshot`."""
# What coreutils' `timeout` ends with where it ended the program, by a signal or by SIGKILL.
ENDED_LATE = (124, 137)

# Seconds for what every step does beside moving bytes: to begin on a busy host, to look for a
# silent source (60 s, the host's own patience with one) and to end.
BEGINNING = 120
# Seconds to open, to renew and to close a port, which move nothing. On a lab host under load they
# take 2. A renewal's is short of the time between two.
OPENING, RENEWING, CLOSING = 60, 30, 30
# Bytes a second of a disk that is read, hashed and written again: half of what a hard disk does,
# and hard disks are let in only with allow_non_nvme.
DISK = 50 * 10**6
# Bytes a second of a whole line from outside, of 8 Mbit/s: the 40 GB take 11 hours over it.
OUTSIDE = 10**6
# Bytes a second of a host's own line to another, of 100 Mbit/s and with every other use of it.
BETWEEN_HOSTS = 4 * 10**6

# What a message of a host may have, in characters.
LONGEST_MESSAGE = 500


class StepFailed(Exception):
    """A step on a host failed, with the program's exit code and what it said."""

    def __init__(self, exit_code: int, message: str) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class Silent(StepFailed):
    """A host did not answer a step in time, or its connection is gone."""

    def __init__(self, message: str) -> None:
        super().__init__(LOCAL, message)


class Late(StepFailed):
    """A host ended a step whose time was over: it is there, and what it waited for was not."""

    def __init__(self, message: str = "it was not done in time") -> None:
        super().__init__(CUT, message)


class Member(Protocol):
    """A host that takes part: how peers reach it, and how a step is run on it."""

    name: str
    address: str

    def step(self, command: str, request: dict[str, Any], seconds: float) -> object:
        """Run a step of the host's program; return its answer, decoded and as yet unchecked.

        Comes back within about `seconds`, whatever the host does. Raises StepFailed.
        """


@dataclass(frozen=True)
class Folders:
    """Where a host has its checkpoints, and its second copy if it keeps one."""

    directory: str
    second_copy: str | None = None


@dataclass(frozen=True)
class Found:
    """What a host says it has: files that it verified, and bytes of others that have arrived."""

    verified: frozenset[str]
    begun: dict[str, int]


class Steps:
    """The steps of one host for one commit, whose `files` are the trusted list.

    Raises ValueError where the list lacks a SHA-256.
    """

    def __init__(
        self, member: Member, folders: Folders, revision: str, files: Sequence[File]
    ) -> None:
        self.member = member
        self.name = member.name
        self._folders = folders
        self._revision = revision
        if any(file.sha256 is None for file in files):
            raise ValueError("a trusted list has a SHA-256 for every file")
        self._files = {file.path: file for file in files}
        self._size = sum(file.size for file in files)

    def inspect(self) -> Found:
        """Have everything verified that is on the host already. Raises StepFailed."""
        answer = self._ask("inspect", self._everything, self._over_disk)
        verified = self._verified(answer)
        begun = _object(answer, "begun")
        for path, size in begun.items():
            if path in verified or not _is_count(size, self._size_of(path)):
                raise _wrong(f"that {_shown(size)} bytes of {_shown(path)} have come")
        return Found(verified, begun)

    def fetch(
        self, files: Sequence[File], source: dict[str, Any], rate: float, *, room: int = 0
    ) -> None:
        """Have files fetched from a source that gives at least `rate` bytes a second.

        `room` are the bytes that the disk must have free before, where that is not known yet.
        Raises StepFailed, where the source was slower too.
        """
        seconds = BEGINNING + sum(file.size for file in files) * (1 / rate + 1 / DISK)
        request = {**self._request(files), "source": source, "room": room}
        try:
            verified = self._verified(self._ask("fetch", request, seconds))
        except Late as late:
            what = files[0].path if len(files) == 1 else f"{len(files)} files"
            raise Late(
                f"{what} from {source.get('name', 'the source')} did not come within "
                f"{seconds:.0f} s; expected {rate / 1e6:.1f} MB/s at least"
            ) from late
        if missing := [file.path for file in files if file.path not in verified]:
            raise _wrong(f"that all is well, without {missing[0]}")

    def publish(self) -> None:
        """Have the whole checkpoint published. Raises StepFailed."""
        answer = self._ask("publish", self._everything, self._over_disk)
        if not _is_count(size := answer.get("bytes"), self._size) or size != self._size:
            raise _wrong(f"that it published {_shown(size)} bytes of {self._size}")

    def serve(self, settings: dict[str, Any]) -> None:
        """Have the host's port opened. Raises StepFailed."""
        self._ask("serve", {**self._request([]), **settings}, OPENING)

    def keep_serving(self) -> None:
        """Have the end of serving put off. Raises StepFailed."""
        self._ask("keep-serving", {}, RENEWING)

    def stop_serving(self) -> None:
        """Have the host's port closed. Raises StepFailed."""
        self._ask("stop-serving", {}, CLOSING)

    @property
    def _everything(self) -> dict[str, Any]:
        return self._request(list(self._files.values()))

    @property
    def _over_disk(self) -> float:
        return BEGINNING + self._size / DISK

    def _request(self, files: Sequence[File]) -> dict[str, Any]:
        return {
            "directory": self._folders.directory,
            "revision": self._revision,
            "files": [asdict(file) for file in files],
            "second_copy": self._folders.second_copy,
        }

    def _ask(self, command: str, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            answer = self.member.step(command, request, seconds)
        except Late as late:
            raise Late(f"{command} was not done within {seconds:.0f} s") from late
        if not isinstance(answer, dict):
            raise _wrong(_shown(answer))
        return answer

    def _verified(self, answer: dict[str, Any]) -> frozenset[str]:
        verified = _object(answer, "verified")
        for path, sha256 in verified.items():
            if path not in self._files or sha256 != self._files[path].sha256:
                raise _wrong(f"that {_shown(path)} has SHA-256 {_shown(sha256)}")
        return frozenset(verified)

    def _size_of(self, path: str) -> int:
        return self._files[path].size if path in self._files else -1


def read_answer(lines: Sequence[str], errors: str) -> object:
    """Return what a step printed as JSON; the last line is its exit code.

    Raises StepFailed with the last line that it said (`errors`) where that is not 0.
    """
    *answer, code = lines or [""]
    if code in {str(late) for late in ENDED_LATE}:
        raise Late
    if code != "0":
        *_, said = ["the connection ended in a step", *errors.strip().splitlines()]
        known = {str(each): each for each in (CUT, WRONG_BYTES, REFUSED)}
        raise StepFailed(known.get(code, LOCAL), printable(said, LONGEST_MESSAGE))
    text = answer[-1] if answer else ""
    if len(text) > 2 * LONGEST_TEXT:
        raise _wrong(f"{len(text)} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(_shown(text)) from error


def _object(answer: dict[str, Any], key: str) -> dict[str, Any]:
    value = answer.get(key)
    if not isinstance(value, dict):
        raise _wrong(f"{_shown(value)} as what is {key}")
    return value


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most  # bool is an int too


def _wrong(found: str) -> StepFailed:
    return StepFailed(
        LOCAL,
        f"it answers {found}, which cannot be: look into this host before you trust it",
    )


def _shown(value: object) -> str:
    """A value of any kind in a few printable characters."""
    if isinstance(value, str):
        return ascii(value[:100])
    return (
        ascii(value) if value is None or isinstance(value, float | int) else "a list or an object"
    )
