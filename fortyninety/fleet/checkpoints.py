"""Ask once in a run what a checkpoint weighs and which files it has, for all hosts of it."""

from __future__ import annotations

from functools import cache

from pyinfra import logger

from fortyninety.fit.errors import FitError
from fortyninety.fit.weights import Weights
from fortyninety.model.file_list import FileListUnknown, file_list
from fortyninety.model.questions import token_of
from fortyninety.model.sizes import checkpoint_sizes
from fortyninety.on_host.checkpoint_files import File
from fortyninety.settings.model import Settings


def checkpoint_of(settings: Settings, *, ask: bool = True) -> Weights | FitError:
    """What the settings' checkpoint weighs, or why that cannot be known without the hub (`ask`)."""
    return _checkpoint(
        settings.model_repository,
        settings.model_revision,
        settings.hub_endpoint,
        token_of(settings) if ask else None,
        ask,
    )


@cache
def _checkpoint(
    repository: str, revision: str, endpoint: str | None, token: str | None, ask: bool
) -> Weights | FitError:
    """Once for all hosts: a hub that does not answer is waited for once."""
    try:
        return checkpoint_sizes(repository, revision, endpoint, token, ask=ask)
    except FitError as error:
        return error


def files_of(settings: Settings) -> tuple[File, ...] | FileListUnknown:
    """The files of the settings' checkpoint, or why they are not known: the same all run long."""
    return _list_of_files(
        settings.model_repository,
        settings.model_revision,
        settings.hub_endpoint,
        token_of(settings),
    )


@cache
def _list_of_files(
    repository: str, revision: str, endpoint: str | None, token: str | None
) -> tuple[File, ...] | FileListUnknown:
    """Once for all hosts, as the sizes."""
    try:
        return file_list(repository, revision, endpoint, token, warn=logger.warning)
    except FileListUnknown as unknown:
        return unknown


def known_files(files: tuple[File, ...] | FileListUnknown) -> tuple[File, ...]:
    """The list. Raises FileListUnknown; a run with a host that has none was refused before."""
    if isinstance(files, FileListUnknown):
        raise files
    return files
