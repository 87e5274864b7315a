"""Let git itself answer for a repository of the hub: its own program behind HTTP.

The repository is made by git from the same files, so that a commit of another name than the hub's
own is found out here.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from lab.hub.faults import Faults
from lab.hub.repository import BRANCH, IDENTITY, MESSAGE, Snapshot, lfs_pointer


@dataclass(frozen=True)
class GitRequest:
    """A request for a path below a repository."""

    path: str
    query: str
    headers: Message
    body: bytes


def git_answer(repository: Path, request: GitRequest, faults: Faults) -> tuple[str, bytes]:
    """Return type and content of git's answer about its own repository."""
    settings = {
        "uploadpack.allowFilter": str(faults.filters).lower(),
        "uploadpack.allowAnySHA1InWant": "true",
    }
    if faults.git_pack is not None:
        # In place of `git pack-objects`, whose arguments come after it.
        pack = shlex.quote(str(faults.git_pack))
        settings["uploadpack.packObjectsHook"] = f"cat >/dev/null; cat {pack}; :"
    answer = _git(
        ["http-backend"],
        request.body,
        settings,
        GIT_PROJECT_ROOT=str(repository),
        GIT_HTTP_EXPORT_ALL="1",
        GIT_PROTOCOL=request.headers.get("Git-Protocol", ""),
        PATH_INFO=f"/{request.path}",
        QUERY_STRING=request.query,
        REQUEST_METHOD="POST" if request.body else "GET",
        CONTENT_TYPE=request.headers.get("Content-Type", ""),
        CONTENT_LENGTH=str(len(request.body)),
        HTTP_CONTENT_ENCODING=request.headers.get("Content-Encoding", ""),
        refusing=True,
    )
    head, _, content = answer.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return fields["Content-Type"], content


def git_folder(root: Path, snapshot: Snapshot) -> Path:
    """Return git's own repository with the snapshot's commit, made beside the hub's folder."""
    beside = root.with_name(f"{root.name}.git")
    folder = beside / snapshot.commit
    if folder.is_dir():
        return folder
    beside.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside) as unfinished:
        made = Path(unfinished) / "repository"
        _git(["init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(made)])
        _git(["-C", str(made), "fast-import", "--quiet"], _stream(snapshot))
        commit = _git(["-C", str(made), "rev-parse", BRANCH]).decode().strip()
        if commit != snapshot.commit:
            raise AssertionError(f"git calls {snapshot.commit} {commit}")
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # another request was first
                raise
    return folder


def _stream(snapshot: Snapshot) -> bytes:
    """The one commit as `git fast-import` reads it."""
    identities = f"author {IDENTITY}\ncommitter {IDENTITY}\n"
    parts = [f"commit refs/heads/{BRANCH}\n{identities}data {len(MESSAGE)}\n{MESSAGE}\n".encode()]
    for file in snapshot.files.values():
        content = (
            lfs_pointer(file.sha256, file.size)
            if file.sha256 is not None
            else file.location.read_bytes()
        )
        parts.append(f"M 100644 inline {file.path}\ndata {len(content)}\n".encode() + content)
        parts.append(b"\n")
    return b"".join(parts)


def _git(
    arguments: list[str],
    given: bytes = b"",
    settings: dict[str, str] | None = None,
    *,
    refusing: bool = False,
    **more: str,
) -> bytes:
    """What git answers; where it is `refusing`, also what it says as it fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    for number, (key, value) in enumerate((settings or {}).items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    environment |= {"GIT_CONFIG_COUNT": str(len(settings or {})), **more}
    return subprocess.run(
        ["git", *arguments],
        input=given,
        env=environment,
        stdout=subprocess.PIPE,
        check=not refusing,
    ).stdout
