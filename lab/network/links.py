"""Cables of a known speed: a lab host's, and the one through which every host reaches a hub."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fortyninety.checkout import ROOT
from lab import paths
from lab.commands import run, succeeds
from lab.errors import LabError
from lab.hosts import LabHost
from lab.network import bridge

HUB_ADDRESS = "10.90.0.2"
HUB_PORT = 8091
# Begins as every link of the lab does, so that `lab down` removes it.
_HUB_LINK = "f90labhub"
_HUB_NAMESPACE = "lab-hub"


def shape(host: LabHost, megabits: int) -> None:
    """Make the host's cable this fast, in Mbit/s, each way by itself."""
    run(_limited(bridge.link_name(host.name), megabits))
    run([*_inside(host), *_limited("host0", megabits)])


def unshape(host: LabHost) -> None:
    """Make the host's cable as fast as the machine is."""
    succeeds(["tc", "qdisc", "delete", "dev", bridge.link_name(host.name), "root"])
    succeeds([*_inside(host), "tc", "qdisc", "delete", "dev", "host0", "root"])


def _inside(host: LabHost) -> list[str]:
    """The prefix of a command in the host's network, by one of the processes that are in it."""
    outside = Path("/proc/self/ns/net").readlink()
    for process in host.processes():
        network_of_it = Path(f"/proc/{process}/ns/net")
        try:
            if network_of_it.readlink() != outside:
                return ["nsenter", f"--net={network_of_it}"]
        except OSError:
            continue  # It ended meanwhile.
    raise LabError(f"{host.name} does not run")


def _limited(device: str, megabits: int) -> list[str]:
    # A bucket that holds several of the 64 KiB that the kernel hands over at a time.
    bucket = ["burst", "512kb", "latency", "100ms"]
    rate = ["rate", f"{megabits}mbit"]
    return ["tc", "qdisc", "replace", "dev", device, "root", "tbf", *rate, *bucket]


@contextmanager
def hub_behind_a_link(root: Path, access_log: Path, megabits: int) -> Iterator[str]:
    """A hub with a cable of its own on the lab's bridge, this fast in Mbit/s; its address."""
    _remove_hub_link()
    run(["ip", "netns", "add", _HUB_NAMESPACE])
    inside = ["ip", "-n", _HUB_NAMESPACE]
    # The same hardware address each time: hosts remember it (lab.network.bridge.hardware_address).
    veth = ["type", "veth", "peer", "name", "hub0", "address", "02:f9:0a:5a:01:02"]
    run(["ip", "link", "add", _HUB_LINK, *veth, "netns", _HUB_NAMESPACE])
    run(["ip", "link", "set", _HUB_LINK, "master", paths.BRIDGE, "up"])
    run([*inside, "address", "add", f"{HUB_ADDRESS}/{paths.PREFIX_LENGTH}", "dev", "hub0"])
    run([*inside, "link", "set", "hub0", "up"])
    run(["ip", "netns", "exec", _HUB_NAMESPACE, *_limited("hub0", megabits)])
    process = subprocess.Popen(
        [
            *("ip", "netns", "exec", _HUB_NAMESPACE, sys.executable, "-m", "lab.hub"),
            *("--root", str(root), "--bind", HUB_ADDRESS, "--port", str(HUB_PORT)),
            *("--access-log", str(access_log)),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for_hub(process)
        yield f"http://{HUB_ADDRESS}:{HUB_PORT}"
    finally:
        process.terminate()
        process.wait()
        _remove_hub_link()


def _wait_for_hub(process: subprocess.Popen[bytes], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    listening = ["ip", "netns", "exec", _HUB_NAMESPACE, "ss", "-Hltn", f"sport = :{HUB_PORT}"]
    while not run(listening).strip():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError("the hub behind a link of its own did not start")
        time.sleep(0.05)


def _remove_hub_link() -> None:
    succeeds(["ip", "link", "delete", _HUB_LINK])
    succeeds(["ip", "netns", "delete", _HUB_NAMESPACE])
