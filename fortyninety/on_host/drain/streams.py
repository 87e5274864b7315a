"""Count what a box has under way, and wait until it has nothing, within bounds."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fortyninety.on_host.gateway_control import under_way

# Seconds that the engine has to say its metrics in, and of its answer the most that is read.
TIMEOUT = 5
MOST = 8 * 1024 * 1024
# Between two looks. Only two that see nothing mean that nothing was on its way between the two.
INTERVAL = 0.3
GAUGE = re.compile(r"vllm:num_requests_(running|waiting)(?:\{[^\n]*\})? ([0-9.e+]{1,30})")


@dataclass(frozen=True)
class UnderWay:
    """Requests that the gateway has at the engine, and those that the engine runs and has waiting.

    The engine's are None where it does not say: it may be starting, or have ended. It knows those
    too that come around the gateway, and those of a gateway's process that was replaced.
    """

    gateway: int
    running: int | None
    waiting: int | None

    @property
    def any(self) -> bool:
        """Whether something is under way."""
        return bool(self.gateway or self.running or self.waiting)

    def __str__(self) -> str:
        engine = (
            "the engine does not say"
            if self.running is None
            else f"the engine runs {self.running}, {self.waiting} wait there"
        )
        return f"under way by the gateway: {self.gateway}; {engine}"


def look(control_socket: Path, engine_port: int) -> UnderWay:
    """What is under way now."""
    running, waiting = _engine(engine_port)
    return UnderWay(under_way(control_socket), running, waiting)


def wait(ask: Callable[[], UnderWay], seconds: float, say: Callable[[str], None]) -> UnderWay:
    """Wait until nothing is under way, for so many seconds at most; what was at the end."""
    began = time.monotonic()
    before, nothing = None, 0
    while True:
        now = ask()
        nothing = 0 if now.any else nothing + 1
        passed = time.monotonic() - began
        if now != before and now.any:
            say(f"{passed:.0f} s: {now}")
        before = now
        if nothing == 2 or passed >= seconds:
            return now
        time.sleep(INTERVAL)


def _engine(port: int) -> tuple[int | None, int | None]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT) as answer:
            text = answer.read(MOST).decode(errors="replace")
    except (OSError, ValueError):
        return None, None
    found = {"running": 0.0, "waiting": 0.0}
    said = set()
    for line in text.splitlines():
        if (gauge := GAUGE.fullmatch(line)) is not None:
            try:
                found[gauge[1]] += float(gauge[2])
            except ValueError:
                return None, None
            said.add(gauge[1])
    if said != found.keys() or max(found.values()) > 10**9:
        return None, None
    return int(found["running"]), int(found["waiting"])
