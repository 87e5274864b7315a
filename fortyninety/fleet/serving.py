"""Say where a host that was deployed to answers, and how to ask it from here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fortyninety.connection.way import Way
from fortyninety.plan.plan import Plan

# Where an engine that listens everywhere is reached from its own box.
LOOPBACK = "127.0.0.1"
QUESTION = "Say hello in one sentence."


@dataclass(frozen=True)
class Serving:
    """An engine that answers: its address on the box, and the two lines that reach it from here."""

    address: str
    model: str
    tunnel: str
    request: str


def serving(name: str, data: Mapping[str, Any], plan: Plan) -> Serving | None:
    """What a host of an inventory serves by its plan; None where the head of its cell answers."""
    if plan.headless:
        return None
    settings = plan.settings
    way = Way.of(name, data)
    forward = f"-N -L {settings.port}:{LOOPBACK}:{settings.port}"
    body = {
        "model": settings.model_name,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    request = [
        *("curl", f"http://{LOOPBACK}:{settings.port}/v1/chat/completions"),
        *("-H", "Content-Type: application/json", "-d", json.dumps(body)),
    ]
    return Serving(
        address=f"{settings.listen_address}:{settings.port}",
        model=settings.model_name,
        tunnel=way.ssh.replace("ssh", f"ssh {forward}", 1),
        request=shlex.join(request),
    )
