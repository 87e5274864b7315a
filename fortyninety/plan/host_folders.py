"""Decide whether root may rely on the folders that a deploy puts things into.

Who may write to a folder may replace what is in it, and so may who has any folder on the way to it:
root would execute, and the engine serve, what somebody else put there.
"""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading, Place


def folder_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    """What is wrong with the folders of the settings, and those on the way to them, as found.

    A folder that is not there yet is made by the deploy; those above it that are count.
    """
    for place in reading.folders.places:
        if not settings.has_engine and place.setting != "install_directory":
            continue
        last = place.path == getattr(settings, place.setting)
        if (wrong := _wrong(place, last)) is None:
            continue
        found, allowed, remedy = wrong
        where = place.path if last else f"below {place.path}"
        yield Problem(
            host=host,
            subject=place.setting,
            found=f"{where}, {found}",
            expected=allowed,
            remedy=remedy,
        )
    options = reading.folders.install_options
    if "noexec" in options:
        yield Problem(
            host=host,
            subject="install_directory",
            found=f"{settings.install_directory}, on a file system that is mounted noexec",
            expected="one that programs run from",
            remedy="Choose another, or mount it otherwise: `mount -o remount,exec` and /etc/fstab",
        )


def _wrong(place: Place, last: bool) -> tuple[str, str, str] | None:
    """What a folder is, what it should be and what mends it; None where it is right.

    `last` is whether it is the folder itself and not one on the way.
    """
    path, mode = place.path, int(place.mode, 8)
    if place.kind == "symbolic link":
        return (
            "a link to elsewhere",
            "a path without links, as a unit and root's commands name it",
            f"Set {place.setting} to what `realpath {path}` prints, and what is below it",
        )
    if place.kind != "directory":
        return f"a {place.kind}", "a folder", f"Move it away, or choose another {place.setting}"
    if place.owner != 0:
        return (
            f"a folder of user id {place.owner}",
            "one of root's",
            f"`chown root {path}` if nobody else needs it, or choose another {place.setting}",
        )
    # In a folder with the sticky bit nobody replaces what is another's, but anybody may be first.
    writable = mode & 0o022 and not (mode & 0o1000 and place.next_is_there and not last)
    if writable:
        return (
            f"a folder that others than root may write to (mode {place.mode})",
            "one that root alone writes to",
            f"`chmod go-w {path}` if nobody else needs it, or choose another {place.setting}",
        )
    if not mode & 0o001 and not last:
        return (
            f"a folder that the service's account cannot enter (mode {place.mode})",
            "one that everybody may enter",
            f"`chmod o+x {path}`, or choose another {place.setting}",
        )
    return None
