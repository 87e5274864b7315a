"""A unit as systemd has it loaded, and its processes as the kernel has them."""

import json
import os
import subprocess
import sys
from pathlib import Path

# The namespaces that a process may have for itself, and not with the rest of the host.
KINDS = ("ipc", "mnt", "user", "uts")


def text(path: str) -> str:
    """A file of /proc, empty where its process has ended."""
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError:
        return ""


def link(path: str) -> str:
    """What a link of /proc names, empty where its process has ended."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def process(pid: str) -> dict[str, object]:
    folder = f"/proc/{pid}"
    status = dict(
        (key, value.strip())
        for key, _, value in (line.partition(":") for line in text(f"{folder}/status").splitlines())
    )
    executable = link(f"{folder}/exe")
    # Addresses, permissions, offset, device, inode, and a path where it is no plain memory.
    maps = [
        each
        for line in text(f"{folder}/maps").splitlines()
        if len(each := line.split(None, 5)) == 6
    ]
    mapped = {path for *_, path in maps if path.startswith("/")}
    loaded = {path for _, permissions, *_, path in maps if "x" in permissions and path in mapped}
    environment = (each.partition("=") for each in text(f"{folder}/environ").split("\0") if each)
    return {
        "pid": int(pid),
        "arguments": text(f"{folder}/cmdline").rstrip("\0").split("\0"),
        "environment": {name: value for name, _, value in environment},
        "executable": executable,
        "status": status,
        "mapped": sorted(mapped),
        "loaded": sorted(loaded),
        "shared_namespaces": [
            kind for kind in KINDS if link(f"{folder}/ns/{kind}") == link(f"/proc/1/ns/{kind}")
        ],
    }


def main() -> None:
    unit = sys.argv[1]
    shown = subprocess.run(
        ["systemctl", "show", "--all", unit], capture_output=True, text=True, check=False
    ).stdout
    properties = dict(line.partition("=")[::2] for line in shown.splitlines() if "=" in line)
    group = properties.get("ControlGroup", "")
    pids = []
    if group:
        for folder, _, files in os.walk(f"/sys/fs/cgroup{group}"):
            if "cgroup.procs" in files:
                pids += text(f"{folder}/cgroup.procs").split()
    main_pid = properties.get("MainPID", "0")
    pids.sort(key=lambda pid: (pid != main_pid, int(pid)))
    processes = [process(pid) for pid in pids]
    is_link = os.path.islink(properties.get("FragmentPath", ""))
    print(json.dumps({"unit": properties, "processes": processes, "is_link": is_link}))


main()
