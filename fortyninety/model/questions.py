"""Ask the hub before a run, with the controller's token; hosts fetch by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import quote

from fortyninety.model.file_list import FileListUnknown
from fortyninety.model.hub import Hub, HubError, is_https, shown_address
from fortyninety.model.token import NoToken, token_at
from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.places import REVISION
from fortyninety.on_host.snapshot.present import FREE_MARGIN
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.settings.named_models import with_named_model
from fortyninety.survey.reading import HostReading

# Seconds: an answer makes an error clearer, and is not worth a long wait.
TIMEOUT = 5


def token_of(settings: Settings) -> str | None:
    """The hub's token, from where `hub_token` says it is; None where it says nothing.

    Raises NoToken where it is not there, or where others could read its file.
    """
    return token_at(settings.hub_token)


def token_problems(host: str, settings: Settings) -> Iterator[Problem]:
    """What is wrong with the place of the token, and with where it would go. Never shows it."""
    try:
        token_of(settings)
    except NoToken as none:
        yield Problem(
            host=host,
            subject="hub_token",
            found=str(none),
            expected="one line in a file that you alone may read",
        )
    endpoint = settings.hub_endpoint
    if settings.hub_token is not None and endpoint is not None and not is_https(endpoint):
        yield Problem(
            host=host,
            subject="hub_token",
            found=f"set, and hub_endpoint is {shown_address(endpoint)!r}",
            expected="an https:// address: over http everybody on the way could read the token",
            remedy="Set hub_token = None, or give the hub a certificate",
        )


def with_commit(problem: Problem, data: Mapping[str, Any]) -> Problem:
    """A problem with `model_revision`, with the commit that the branch points to now."""
    revision = data.get("model_revision")
    if problem.subject != "model_revision" or not isinstance(revision, str):
        return problem
    if not revision or not revision.isprintable():
        return problem
    endpoint = data.get("hub_endpoint")
    repository = with_named_model(data).get("model_repository")
    if not isinstance(endpoint, str | None) or not isinstance(repository, str):
        return problem
    commit = ask_for_commit(endpoint, repository, revision)
    if commit is None:
        return problem
    return replace(problem, remedy=f"{ascii(revision)[1:-1][:60]} now points to {commit}")


@cache
def ask_for_commit(endpoint: str | None, repository: str, revision: str) -> str | None:
    """The commit that a branch or tag is, or None where the hub does not say it over https."""
    path = f"/api/models/{quote(repository)}/revision/{quote(revision, safe='')}"
    try:
        page = Hub(endpoint).page(path, seconds=TIMEOUT)
    except HubError:
        return None
    sha = page.get("sha") if isinstance(page, dict) else None
    return sha if isinstance(sha, str) and REVISION.fullmatch(sha) else None


def list_problems(host: str, files: tuple[File, ...] | FileListUnknown) -> Iterator[Problem]:
    """A checkpoint whose files are not known here: then no host can be held to anything."""
    if isinstance(files, FileListUnknown):
        yield Problem(
            host=host,
            subject="the checkpoint",
            found=f"not known ({files})",
            expected="the list of its files, which every host is held to",
        )


def room_problems(
    host: str, reading: HostReading, files: tuple[File, ...] | FileListUnknown
) -> Iterator[Problem]:
    """A disk on which the snapshot will not fit. The host itself refuses as well."""
    if (
        isinstance(files, FileListUnknown)
        or reading.snapshot.condition is not None
        or not reading.readable
    ):
        return
    size = sum(file.size for file in files)
    needed = max(0, size - reading.snapshot.begun) + FREE_MARGIN
    if reading.disk.free_bytes < needed:
        yield Problem(
            host=host,
            subject="models_directory",
            found=f"on a disk with {reading.disk.free_bytes / 1e9:.1f} GB free",
            expected=f"{needed / 1e9:.1f} GB (snapshot {size / 1e9:.1f} GB, of which here "
            f"{reading.snapshot.begun / 1e9:.1f} GB, margin {FREE_MARGIN / 1e9:.1f} GB)",
            remedy="Make room, or choose another models_directory",
        )
