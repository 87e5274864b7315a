"""Find the settings of groups from any working folder, as pyinfra does in the project's own."""

from __future__ import annotations

from pathlib import Path

from fortyninety.settings.defaults import ALL


def group_data_paths(inventory: str) -> list[str]:
    """The defaults, and the folders of group data that override them; the later of two wins.

    They are those that pyinfra has for an inventory file itself: group_data/ of the working folder
    and of the inventory's.
    """
    folders = [Path.cwd() / "group_data", Path(inventory).resolve().parent / "group_data"]
    return [str(ALL), *(str(each) for each in dict.fromkeys(folders) if each.is_dir())]
