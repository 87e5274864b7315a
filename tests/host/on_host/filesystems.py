"""The filesystems that are mounted to be written to: bytes and inodes, all and free."""

import json
import os


def main() -> None:
    found = {}
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, path, kind, options = line.split()[:4]
            path = path.encode().decode("unicode_escape")
            if "ro" in options.split(",") or kind in ("devtmpfs", "ramfs", "squashfs", "iso9660"):
                continue
            try:
                state = os.statvfs(path)
                device = os.stat(path).st_dev
            except OSError:
                continue
            # Each once, also where it is mounted several times; those without a size are none.
            if state.f_blocks and not path.startswith(("/proc", "/sys", "/dev/")):
                found.setdefault(
                    device,
                    {
                        "path": path,
                        "size": state.f_blocks * state.f_frsize,
                        "free": state.f_bavail * state.f_frsize,
                        "inodes": state.f_files,
                        "free_inodes": state.f_favail,
                    },
                )
    print(json.dumps(list(found.values())))


main()
