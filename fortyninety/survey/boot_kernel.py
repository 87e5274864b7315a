"""Find the kernel that the boot loader starts next, from its own configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_DEFAULT = re.compile(r'set default="(?P<value>[^"]*)"')
_ENTRY = re.compile(
    r"(?P<kind>submenu|menuentry) (?P<quote>['\"])(?P<title>.*?)(?P=quote)"
    r"(?:.*\$menuentry_id_option '(?P<id>[^']*)')?"
)
_ENTRY_KERNEL = re.compile(r"(?:vmlinuz-)?(\d+\.\d+\.\S+?)(?:/linux)?$")
# Of a path or a version of an entry; what is longer names no kernel.
MOST_CHARACTERS = 500
_LINUX = re.compile(r"linux(?:16|efi)?\s+\S*/vmlinuz-(?P<kernel>\S+)")


@dataclass(frozen=True)
class _Entry:
    """An entry of GRUB's menu: where it stands, by index, title and id, and the kernel it starts.

    Each of `steps` holds the names under which one level of the menu can be asked for.
    """

    steps: tuple[frozenset[str], ...]
    kernel: str


def grub_kernel(lines: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The kernel that GRUB starts, by the lines of its grub.cfg and its environment block.

    None where it starts no Linux, or where its configuration is not as grub-mkconfig writes it.
    Source: GRUB's manual, "Simple configuration" (GRUB_DEFAULT): an index from 0, a title or an
    id, and with `>` between them the levels of submenus; next_entry holds for one boot.
    """
    default = _default(lines, environment)
    if default is None:
        return None
    entries = _entries(lines)
    # A default that is not in the menu counts as the first.
    return _started(entries, default.split(">")) or _started(entries, ["0"])


def _started(entries: Sequence[_Entry], wanted: Sequence[str]) -> str | None:
    """The kernel of the entry with these names; what names a submenu starts its first entry."""
    return next(
        (
            entry.kernel
            for entry in entries
            if len(wanted) <= len(entry.steps)
            and all(name in step for name, step in zip(wanted, entry.steps, strict=False))
        ),
        None,
    )


def boot_entry_kernel(listing: str) -> str | None:
    """The kernel of the default entry of systemd-boot, by `bootctl --json=short list`.

    None where the listing says none. Source: bootctl(1), systemd 252 to 257.
    """
    try:
        entries = json.loads(listing)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, list):
        return None
    chosen = next(
        (each for each in entries if isinstance(each, dict) and each.get("isDefault")), {}
    )
    for text in (chosen.get("linux"), chosen.get("version")):
        if isinstance(text, str) and (match := _ENTRY_KERNEL.search(text[-MOST_CHARACTERS:])):
            return match[1].rpartition("/")[2]
    return None


def _default(lines: Sequence[str], environment: Mapping[str, str]) -> str | None:
    if environment.get("next_entry"):
        return environment["next_entry"]
    # grub-mkconfig writes several: next_entry's first, and GRUB_DEFAULT's last.
    found = [match["value"] for line in lines if (match := _DEFAULT.search(line))]
    given = [value for value in found if not value.startswith("${next_entry")]
    if not given:
        return None
    if given[-1].startswith("${saved_entry"):
        return environment.get("saved_entry") or "0"
    return given[-1]


def _entries(lines: Sequence[str]) -> list[_Entry]:
    found: list[_Entry] = []
    # For each open level: the names it has, and how many entries it has had so far.
    above: list[frozenset[str]] = []
    counts = [0]
    inside_entry = False
    for line in lines:
        text = line.strip()
        if match := _ENTRY.match(text):
            names = {str(counts[-1]), match["title"], *([match["id"]] if match["id"] else [])}
            counts[-1] += 1
            above.append(frozenset(names))
            inside_entry = match["kind"] == "menuentry"
            if not inside_entry:
                counts.append(0)
        elif match := _LINUX.match(text):
            if inside_entry:
                found.append(_Entry(tuple(above), match["kernel"]))
        elif text.startswith("}") and above:
            above.pop()
            if not inside_entry:
                counts.pop()
            inside_entry = False
    return found
