"""The lines of fstab that the next boot waits for, and of which nothing is there to be mounted.

A source by a path or an identifier is looked for as the boot does, by its name below /dev. Network
and virtual filesystems have none; those with `nofail` or `noauto` are not waited for.
"""

import json
import os

BY_IDENTIFIER = {
    "UUID": "/dev/disk/by-uuid",
    "LABEL": "/dev/disk/by-label",
    "PARTUUID": "/dev/disk/by-partuuid",
    "PARTLABEL": "/dev/disk/by-partlabel",
    "ID": "/dev/disk/by-id",
}


def device(source: str) -> str | None:
    """The path below /dev of what a line mounts, or None where it is no device."""
    kind, equals, name = source.partition("=")
    if equals and kind in BY_IDENTIFIER:
        return f"{BY_IDENTIFIER[kind]}/{name.strip(chr(34))}"
    return source if source.startswith("/dev/") else None


def main() -> None:
    try:
        with open("/etc/fstab") as file:
            lines = [line.split() for line in file]
    except FileNotFoundError:
        lines = []
    with open("/proc/self/mounts") as mounts:
        mounted = {line.split()[1] for line in mounts}
    found = []
    for fields in lines:
        if len(fields) < 4 or fields[0].startswith("#"):
            continue
        source, target, _, options = fields[:4]
        path = device(source)
        waited_for = not {"nofail", "noauto"} & set(options.split(","))
        if waited_for and path is not None and target not in mounted and not os.path.exists(path):
            found.append({"source": source, "target": target})
    print(json.dumps(found))


main()
