"""Say where a host that was deployed to answers, and how to ask it from here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fortyninety.connection.way import Way
from fortyninety.fleet.fronts import shared_address
from fortyninety.gateway.authority import CERTIFICATE, authority_folder
from fortyninety.plan.gateway import asks_by_key
from fortyninety.plan.plan import Plan
from fortyninety.settings.addresses import is_host_name
from fortyninety.settings.model import Settings

# Where an engine that listens everywhere is reached from its own box.
LOOPBACK = "127.0.0.1"
# For curl -K, of the key in the environment.
HEADER = """printf 'header = "Authorization: Bearer %s"\\n' "$OPENAI_API_KEY\""""
QUESTION = "Say hello in one sentence."


@dataclass(frozen=True)
class Serving:
    """What answers: an engine's address on the box, and the two lines that reach it from here.

    `gateway` is the base of the API for who has a key, and `with_key` a line that asks there by the
    one in OPENAI_API_KEY; both are None without a gateway. A front that is no box has these alone,
    and `boxes` are the names of those behind it.
    """

    address: str | None
    model: str
    tunnel: str | None
    request: str | None
    gateway: str | None
    with_key: str | None
    boxes: tuple[str, ...] = ()


def serving(name: str, data: Mapping[str, Any], plan: Plan, inventory: Path) -> Serving | None:
    """What a host of an inventory serves by its plan; None where the head of its cell answers."""
    settings = plan.settings
    body = {
        "model": settings.model_name,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    asked = ("-H", "Content-Type: application/json", "-d", json.dumps(body))
    by_key = plan.front is not None or (plan.gateway is not None and asks_by_key(settings))
    gateway = _gateway(name, data, settings) if by_key else None
    with_key = None if gateway is None else _with_key(gateway, settings, inventory, asked)
    if plan.headless or not plan.has_engine:
        if gateway is None:
            return None
        return Serving(None, settings.model_name, None, None, gateway, with_key, plan.boxes)
    way = Way.of(name, data)
    forward = f"-N -L {settings.port}:{LOOPBACK}:{settings.port}"
    local = f"http://{LOOPBACK}:{settings.port}/v1/chat/completions"
    return Serving(
        address=f"{settings.listen_address}:{settings.port}",
        model=settings.model_name,
        tunnel=way.ssh.replace("ssh", f"ssh {forward}", 1),
        request=shlex.join(["curl", local, *asked]),
        gateway=gateway,
        with_key=with_key,
        boxes=plan.boxes,
    )


def _gateway(name: str, data: Mapping[str, Any], settings: Settings) -> str:
    """The base of the API, by a name of the certificate: one that was set, or how it is reached."""
    given = (*settings.gateway_names, shared_address(settings), data.get("ssh_hostname"))
    host = next((each for each in given if isinstance(each, str) and is_host_name(each)), name)
    return f"https://{f'[{host}]' if ':' in host else host}:{settings.gateway_port}/v1"


def _with_key(base: str, settings: Settings, inventory: Path, asked: Iterable[str]) -> str:
    """Ask with the key on curl's standard input, where no list of processes has it."""
    believed: tuple[str, ...] = ()
    if settings.gateway_certificate is None:
        believed = ("--cacert", str(authority_folder(inventory) / CERTIFICATE))
    line = shlex.join(["curl", *believed, "-K", "-", f"{base}/chat/completions", *asked])
    return f"{HEADER} | {line}"
