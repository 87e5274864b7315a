"""Keep one host powered: start it, start it again after a reboot, end when it powers off.

Run as a program, `python supervisor.py HOST.json`, as process 1 of namespaces of its own (mounts
and process ids), so that every mount it makes and every process below it ends with it. It imports
nothing of the lab, to stay small for the life of the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

# What systemd-nspawn ends with when the system inside asked for a reboot (systemd-nspawn(1)).
_REBOOT_EXIT_CODE = 133


def main() -> int:
    """Prepare the disk and the network, then boot until the host no longer wants to."""
    host = json.loads(Path(sys.argv[1]).read_text())
    directory = Path(host["directory"])
    _mount_disk(host, directory)
    _connect(host)
    exit_code = _REBOOT_EXIT_CODE
    while exit_code == _REBOOT_EXIT_CODE:
        exit_code = _boot(host, directory)
    (directory / "exit_code").write_text(f"{exit_code}\n")
    return exit_code


def _mount_disk(host: dict[str, Any], directory: Path) -> None:
    # A fresh /run: nspawn wants its directory there on a tmpfs, and must not meet the outer
    # machine's sockets. Only this process tree sees it.
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    root, work = directory / "root", directory / "work"
    root.mkdir(exist_ok=True)
    # `volatile` leaves a mark in the work directory that refuses a second mount after a power cut,
    # because what was not yet written may be lost. Here only the outer machine's own crash could
    # lose it, so the mark is removed.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    lower = ":".join(host["layers"])
    # Without redirects a folder of a lower layer cannot be renamed, and every disk can do that.
    upper = directory / "upper"
    options = f"lowerdir={lower},upperdir={upper},workdir={work},volatile,redirect_dir=on"
    _run("mount", "-t", "overlay", "-o", options, host["name"], str(root))


def _connect(host: dict[str, Any]) -> None:
    """Make the host's network namespace and its cable to the bridge; both outlive reboots."""
    name, link = host["name"], host["link"]
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", link, "mtu", str(host["mtu"]), "type", "veth",
         "peer", "name", "host0", "address", host["hardware_address"],
         "mtu", str(host["mtu"]), "netns", name)  # fmt: skip
    _run("ip", "link", "set", link, "master", host["bridge"], "up")
    inside = ("ip", "-n", name)
    _run(*inside, "link", "set", "lo", "up")
    _run(*inside, "link", "set", "host0", "up")
    _run(*inside, "address", "add", f"{host['address']}/{host['prefix_length']}", "dev", "host0")
    _run(*inside, "route", "add", "default", "via", host["gateway"])


def _boot(host: dict[str, Any], directory: Path) -> int:
    boots_file = directory / "boots"
    boots = int(boots_file.read_text()) + 1 if boots_file.exists() else 1
    # Renamed into place: others read it meanwhile.
    unfinished = directory / "boots.new"
    unfinished.write_text(f"{boots}\n")
    unfinished.rename(boots_file)
    # What a card forgets when power or driver goes.
    shutil.rmtree(directory / "gpu" / "state", ignore_errors=True)
    _exchange_cards(directory)
    _unload_nouveau(directory)
    # A control group of its own for every boot: the last one's still has limits switched on, and
    # then no process may enter it.
    group = Path(host["control_group"]) / f"boot-{boots}"
    group.mkdir()
    command = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--machine={host['name']}",
        f"--directory={directory / 'root'}",
        f"--network-namespace-path=/run/netns/{host['name']}",
        # As on a real box, root may set up the firewall: of the host's own network alone.
        "--capability=CAP_NET_ADMIN",
        "--register=no",
        "--keep-unit",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=pipe",
        # Nothing of a host outlives the lab's machine, and its power is cut without losing what the
        # outer kernel has in memory: waiting for the disk would only be waiting.
        "--suppress-sync=yes",
        *[f"--bind-ro={outside}:{inside}" for outside, inside in host["read_only_binds"]],
        *[f"--bind={outside}:{inside}" for outside, inside in host["binds"]],
    ]
    machine = subprocess.Popen(
        ["sh", "-c", 'echo 0 > "$0" && exec "$@"', str(group / "cgroup.procs"), *command],
        env={
            "PATH": os.environ["PATH"],
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            # /tmp is what the host's own release makes of it.
            "SYSTEMD_NSPAWN_TMPFS_TMP": "0",
        },
    )
    # nspawn turns SIGTERM into an orderly shutdown of the system inside.
    signal.signal(signal.SIGTERM, lambda *_: machine.send_signal(signal.SIGTERM))
    exit_code = machine.wait()
    _remove_group(group)
    return exit_code


def _exchange_cards(directory: Path) -> None:
    """Put in the cards that were made ready for this boot, if any were."""
    for name in ("pci", "gpu/cards"):
        ready = directory / "next-boot" / name
        if ready.exists():
            shutil.rmtree(directory / name)
            ready.rename(directory / name)


def _unload_nouveau(directory: Path) -> None:
    """A kernel starts with nouveau on the cards, once it was there, unless it may not load it."""
    nouveau = directory / "modules" / "nouveau"
    files = (directory / "root/etc/modprobe.d").glob("*.conf")
    # Links of the host would be followed into the outer machine.
    if nouveau.exists() and any(
        "blacklist nouveau" in file.read_text() for file in files if not file.is_symlink()
    ):
        nouveau.rmdir()


def _remove_group(group: Path) -> None:
    for child in group.iterdir():
        if child.is_dir():
            _remove_group(child)
    # One that still counts a dying process is left for `lab down`.
    with contextlib.suppress(OSError):
        group.rmdir()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
