"""The package cache that hosts and image builds fetch through: apt-cacher-ng on the bridge."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

from lab import cgroups, paths
from lab.commands import run
from lab.errors import LabError

CONTROL_GROUP = "apt-cache"
_START_SECONDS = 15.0
_USER = "apt-cacher-ng"


def address() -> str:
    """The proxy address that apt is given."""
    return f"http://{paths.BRIDGE_ADDRESS}:{paths.APT_CACHE_PORT}"


def up() -> None:
    """Start the cache unless it runs; the bridge must be there."""
    if cgroups.alive(CONTROL_GROUP) and _answers():
        return
    cgroups.kill(CONTROL_GROUP)
    if _answers():
        raise LabError(
            f"something else answers on {paths.BRIDGE_ADDRESS}:{paths.APT_CACHE_PORT}: an "
            "apt-cacher-ng of this machine, most likely. Bind it to loopback (BindAddress: "
            "localhost in /etc/apt-cacher-ng/acng.conf) or stop it"
        )
    configuration = _write_configuration()
    log = paths.state_directory() / "apt-cache" / "output.log"
    cgroups.spawn(
        CONTROL_GROUP,
        [
            *("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups"),
            *("apt-cacher-ng", "-c", str(configuration), "ForeGround=1"),
        ],
        log=log,
    )
    deadline = time.monotonic() + _START_SECONDS
    while not _answers():
        if time.monotonic() > deadline or not cgroups.alive(CONTROL_GROUP):
            raise LabError(f"apt-cacher-ng did not start: see {log} and {log.parent}")
        time.sleep(0.02)


def _answers() -> bool:
    try:
        endpoint = (paths.BRIDGE_ADDRESS, paths.APT_CACHE_PORT)
        socket.create_connection(endpoint, timeout=1).close()
    except OSError:
        return False
    return True


def _write_configuration() -> Path:
    """Write a configuration that shares nothing with the machine's own apt-cacher-ng."""
    directory = paths.state_directory() / "apt-cache"
    configuration, logs = directory / "configuration", directory / "log"
    packages = paths.cache_directory() / "apt"
    for folder in (configuration, logs, packages):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (logs, packages):
        shutil.chown(folder, _USER, _USER)
    settings = {
        "CacheDir": packages,
        "LogDir": logs,
        "SupportDir": "/usr/lib/apt-cacher-ng",
        "BindAddress": paths.BRIDGE_ADDRESS,
        "Port": paths.APT_CACHE_PORT,
        # Never expire anything by itself: `lab` users remove the cache when they want it gone.
        "ExThreshold": 0,
        "PidFile": directory / "pid",
    }
    upstream = _machine_proxy()
    if upstream:
        settings["Proxy"] = upstream
    lines = [f"{name}: {value}" for name, value in settings.items()]
    (configuration / "acng.conf").write_text("\n".join(lines) + "\n")
    return configuration


def _machine_proxy() -> str:
    """The proxy this machine's apt goes through, if it needs one to get out."""
    variables = run(["apt-config", "shell", "PROXY", "Acquire::http::Proxy"])
    value = variables.partition("=")[2].strip().strip("'")
    return "" if value.upper() == "DIRECT" else value
