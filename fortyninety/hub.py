"""What this machine asks the hub before a run, and where its token is; hosts fetch themselves."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from fortyninety.facts.survey import HostState
from fortyninety.fit.reader import PUBLIC_HUB
from fortyninety.host.snapshot.present import FREE_MARGIN
from fortyninety.problems import Problem
from fortyninety.settings import Settings

# Seconds: an answer makes an error clearer, and is not worth a long wait.
TIMEOUT = 5


class NoToken(Exception):
    """Why there is no token where the settings say it is."""


@dataclass(frozen=True)
class Commit:
    """What a revision of a repository is: the commit it points to, and its size in bytes."""

    sha: str
    size: int


def token_of(settings: Settings) -> str | None:
    """The hub's token, from where `hub_token` says it is; None where it says nothing.

    Raises NoToken where it is not there, or where others could read its file.
    """
    if settings.hub_token is None:
        return None
    kind, _, name = settings.hub_token.partition(":")
    if kind == "environment":
        token = os.environ.get(name, "")
    else:
        path = Path(name).expanduser()
        try:
            mode = path.stat().st_mode
            token = path.read_text().strip()
        except OSError as error:
            raise NoToken(f"in {path}, which cannot be read: {error.strerror}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise NoToken(f"in {path}, which others may read (mode {stat.S_IMODE(mode):o})")
    if not token or not token.isprintable() or " " in token:
        raise NoToken(f"{settings.hub_token}, where there is no token")
    return token


def token_problems(host: str, settings: Settings) -> Iterator[Problem]:
    """What is wrong with the place of the token. Never shows the token."""
    try:
        token_of(settings)
    except NoToken as none:
        yield Problem(host, "hub_token", str(none), "one line in a file that you alone may read")


def with_commit(problem: Problem, data: Mapping[str, Any]) -> Problem:
    """A problem with `model_revision`, with the commit that the branch points to now."""
    revision = data.get("model_revision")
    if problem.subject != "model_revision" or not isinstance(revision, str) or not revision:
        return problem
    commit = ask_for_commit(
        data.get("hub_endpoint"), str(data.get("model_repository")), quote(revision, safe=""), None
    )
    if commit is None:
        return problem
    return replace(problem, remedy=f"{revision} now points to {commit.sha}")


def room_problems(host: str, settings: Settings, state: HostState) -> Iterator[Problem]:
    """A disk on which the snapshot will not fit, where the hub says how large it is.

    Where it does not, the host itself refuses before the first byte.
    """
    if state.snapshot is not None or settings.snapshot_source is not None or not state.readable:
        return
    commit = ask_for_commit(
        settings.hub_endpoint,
        settings.model_repository,
        settings.model_revision,
        token_of(settings),
    )
    if commit is None:
        return
    needed = max(0, commit.size - state.snapshot_begun) + FREE_MARGIN
    if state.free_bytes < needed:
        yield Problem(
            host,
            "models_directory",
            f"on a disk with {state.free_bytes / 1e9:.1f} GB free",
            f"{needed / 1e9:.1f} GB (snapshot {commit.size / 1e9:.1f} GB, of which here "
            f"{state.snapshot_begun / 1e9:.1f} GB, margin {FREE_MARGIN / 1e9:.1f} GB)",
            "Make room, or choose another models_directory",
        )


@cache
def ask_for_commit(
    endpoint: str | None, repository: str, revision: str, token: str | None
) -> Commit | None:
    """The commit that a branch, tag or hash is, or None where the hub does not say."""
    address = f"{endpoint or PUBLIC_HUB}/api/models/{repository}/revision/{revision}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = requests.get(address, params={"blobs": "true"}, headers=headers, timeout=TIMEOUT)
        answer.raise_for_status()
        page = answer.json()
        return Commit(page["sha"], sum(file["size"] for file in page["siblings"]))
    except (requests.RequestException, ValueError, KeyError):
        return None
