"""Keep the lists of what the lab's hub has, as an operator does who has a copy that they trust."""

from __future__ import annotations

from pathlib import Path

from fortyninety.model.file_list import keep_file_list, known_file_list
from fortyninety.model.folder_list import folder_files
from lab.hub.repository import head_commit


def pinned_commit(root: Path, repository: str) -> str:
    """Return the commit of a repository below the hub's folder, with its list of files kept.

    The lab's hub speaks http, from which a deploy takes no list. What the copy on this machine says
    is kept once, as `fortyninety snapshot pin --folder` keeps it.
    """
    commit = head_commit(root, repository)
    if known_file_list(repository, commit) is None:
        keep_file_list(repository, commit, folder_files(root / repository), "the lab's hub")
    return commit
