"""Check the folders of a host that settings name: the service must see them and keep them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

# Free of what a shell, a systemd unit or another path would read as more than a name.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*|\.[A-Za-z0-9_-][A-Za-z0-9._-]*")
# Source: PATH_MAX of the kernel is 4096 bytes, with what comes below; a folder's name may have 255.
LONGEST = 200

# Trees that are of no use, and why. Source of what the unit hides: systemd.exec(5), ProtectHome=,
# PrivateTmp= and CacheDirectory=, with templates/vllm.service.j2.
_HIDDEN = "ProtectHome= of the service's unit hides it from the engine"
_ITS_OWN_TMP = "the service has a /tmp and a /var/tmp of its own, and others' are cleared"
_KERNEL = "it is the kernel's, and no disk"
_DISTRIBUTION = "it is the distribution's"
_LOST = "nothing in it outlives a reboot"
UNUSABLE: Mapping[str, str] = {
    "/home": _HIDDEN,
    "/root": _HIDDEN,
    "/tmp": _ITS_OWN_TMP,
    "/var/tmp": _ITS_OWN_TMP,
    "/proc": _KERNEL,
    "/sys": _KERNEL,
    "/dev": _KERNEL,
    "/run": _LOST,
    "/var/run": _LOST,
    "/var/lock": _LOST,
    "/var/cache": "what is in it may be removed at any time, and /var/cache/vllm is the engine's",
    "/var/lib/private": "it is systemd's",
    "/var/lib/systemd": "it is systemd's",
    **dict.fromkeys(
        ("/bin", "/boot", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"),
        _DISTRIBUTION,
    ),
    **dict.fromkeys(
        ("/usr/bin", "/usr/games", "/usr/include", "/usr/lib", "/usr/lib32", "/usr/lib64"),
        _DISTRIBUTION,
    ),
    **dict.fromkeys(
        ("/usr/libexec", "/usr/libx32", "/usr/sbin", "/usr/share", "/usr/src"), _DISTRIBUTION
    ),
    **dict.fromkeys(
        ("/usr/local/bin", "/usr/local/etc", "/usr/local/lib", "/usr/local/sbin"), _DISTRIBUTION
    ),
    **dict.fromkeys(
        ("/var/backups", "/var/crash", "/var/log", "/var/mail", "/var/spool", "/var/www"),
        _DISTRIBUTION,
    ),
    **dict.fromkeys(
        ("/var/lib/apt", "/var/lib/dkms", "/var/lib/dpkg", "/var/lib/shim-signed"), _DISTRIBUTION
    ),
}
# Folders that others have a part of: one below them is needed. Source: the Filesystem Hierarchy
# Standard 3.0.
SHARED = frozenset({"/media", "/mnt", "/opt", "/srv", "/usr", "/usr/local", "/var", "/var/lib"})


def folder_problem(path: str) -> str | None:
    """What a folder of the host must be and `path` is not, in words; None where it is right."""
    first, *parts = path.split("/")
    if first or not parts or len(path) > LONGEST or not all(map(_PART.fullmatch, parts)):
        return (
            "an absolute path of letters, digits, '.', '_', '-' and '/', at most "
            f"{LONGEST} of them, without '..', '//' or a final slash"
        )
    for folder, why in UNUSABLE.items():
        if contains(folder, path):
            return f"a folder elsewhere than in {folder}: {why}"
    if path in SHARED:
        return f"a folder of its own, such as {path}/fortyninety: {path} is everybody's"
    return None


def contains(folder: str, path: str) -> bool:
    """Whether a path is the folder or lies in it."""
    return path == folder or path.startswith(f"{folder}/")


def overlapping(folders: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The names of each two folders of which the first is, or lies in, the second."""
    names = list(folders)
    for index, name in enumerate(names):
        for other in names[:index]:
            if contains(folders[other], folders[name]):
                yield name, other
            elif contains(folders[name], folders[other]):
                yield other, name
