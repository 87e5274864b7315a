"""Say what the engine is, and whether it serves."""

import os

from fortyninety.on_host.signals.ask import ask, status_of
from fortyninety.on_host.signals.metrics import Samples

SYSTEMCTL = "/usr/bin/systemctl"
PATIENCE = 3.0
MOST = 16 * 1024
STATES = ("serving", "silent", "starting", "restarting", "stopped", "failed")
_PROPERTIES = ("ActiveState", "SubState", "NRestarts", "ExecMainStartTimestamp")


def read_engine(known: dict[str, object], samples: Samples) -> bool:
    """What is live and in which state; False where systemd does not say."""
    identity = known.get("engine")
    if isinstance(identity, dict):
        links = (_named(identity.get(each)) for each in ("environment_link", "snapshot_link"))
        environment, snapshot = links
        given = [str(identity.get(each, "")) for each in ("release", "model", "repository")]
        samples.add("engine_info", 1, given[0], environment, given[1], given[2], snapshot)
    advisories = known.get("advisories")
    for each in advisories if isinstance(advisories, list) else []:
        samples.add("engine_advisory_info", 1, str(each[0]), str(each[1]))
    unit = known.get("unit")
    if not isinstance(unit, str):
        return True
    shown = [f"--property={','.join(_PROPERTIES)}", "--timestamp=unix", unit]
    answer = ask([SYSTEMCTL, "show", *shown], seconds=PATIENCE, most=MOST)
    found = dict(line.partition("=")[::2] for line in answer.text.splitlines())
    if answer.state != "answered" or "ActiveState" not in found:
        return False
    state = state_of(found["ActiveState"], found.get("SubState", ""), known)
    for each in STATES:
        samples.add("engine_state", each == state, each)
    if found.get("NRestarts", "").isdigit():
        samples.add("engine_restarts_total", int(found["NRestarts"]))
    started = found.get("ExecMainStartTimestamp", "").removeprefix("@")
    if started.isdigit():
        samples.add("engine_start_timestamp_seconds", int(started))
    return True


def state_of(active: str, sub: str, known: dict[str, object]) -> str:
    """One of STATES: by systemd, and by what the engine itself answers."""
    if sub == "auto-restart":
        return "restarting"
    if active == "failed":
        return "failed"
    if active not in ("active", "activating", "reloading"):
        return "stopped"
    port = known.get("port")
    if not isinstance(port, int):
        # A member of a cell, whose head answers.
        return "serving" if active == "active" else "starting"
    status = status_of(port, "/health", seconds=PATIENCE)
    if status is None:
        return "starting"
    return "serving" if status == 200 else "silent"


def _named(link: object) -> str:
    try:
        return os.path.basename(os.readlink(str(link)))
    except OSError:
        return ""
