#!/usr/bin/env python3
"""Print how this box is: its engine's unit, its cards, and what the engine says of itself.

For each line of standard input one line: a JSON object of at most LONGEST bytes, changing nothing.
It goes on for as long as it is asked, so that a fleet that is looked at every other second starts
it once: a session and Python's own start cost more than all answers to a question. Whoever took the
engine over may answer what he likes: of /metrics the asked names alone are read, within bounds.
What is asked is one argument, a JSON object. A line is the seconds between two readings of
/metrics, or 0 for one. It ends with its input, and where nobody asks for `left_after` seconds: a
controller may be gone without a word. Python 3.10, no packages.

    box-status '{"unit": UNIT, "port": PORT, "metrics": [NAME, ...], "engine": LINK,
        "snapshot": LINK, "gateway": UNIT, "failure": PROGRAM, "left_after": SECONDS}'
"""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONGEST = 65536
# Seconds for each question; /metrics takes some milliseconds, nvidia-smi of a driver that is kept
# loaded 50, and one of a card that fell off the bus never ends.
PATIENCE = 3.0
LONGEST_METRICS = 4 * 1024 * 1024
LONGEST_CARDS = 8192
MOST_SAMPLES = 200
DRAINED = Path("/var/lib/fortyninety/drained.json")
CARDS = (
    "nvidia-smi",
    "--query-gpu=index,memory.used,memory.total,power.draw,power.limit,temperature.gpu,"
    "utilization.gpu,clocks_throttle_reasons.active",
    "--format=csv,noheader,nounits",
)
PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,NRestarts,ActiveEnterTimestampMonotonic,"
    "InvocationID,StateChangeTimestampMonotonic"
)
# Seconds after which the journal has what was said of a start until it ended.
WRITTEN = 10.0
SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]{0,200})(?:\{[^\n]{0,4000}\})? ([0-9.eE+-]{1,40})")


def output(*command: str, longest: int = LONGEST) -> str:
    """What a command prints; empty where it fails or is not done in time."""
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout[:longest].decode("utf-8", "replace") if ran.returncode == 0 else ""


def units(*names: str) -> list[dict[str, str]]:
    """What systemd says of each unit."""
    said = output("systemctl", "show", f"--property={PROPERTIES}", "--", *names, longest=8192)
    found = [
        dict(line.partition("=")[::2] for line in each.splitlines() if "=" in line)
        for each in said.split("\n\n")
    ]
    return found if len(found) == len(names) else [{} for _ in names]


def scrape(port: int, wanted: frozenset[str]) -> dict[str, Any] | None:
    """The values of the wanted metrics and when; None where the engine does not answer them."""
    head, _, content = answer(port).partition(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        return None
    values: list[list[Any]] = []
    for line in content.decode("utf-8", "replace").splitlines():
        found = SAMPLE.fullmatch(line) if len(values) < MOST_SAMPLES else None
        if found is not None and found[1] in wanted:
            try:
                values.append([found[1], float(found[2])])
            except ValueError:
                continue
    return {"time": time.monotonic(), "values": values} if values else None


def answer(port: int) -> bytes:
    """What the engine answers to a request for /metrics, up to its end; empty without one."""
    parts: list[bytes] = []
    left, until = LONGEST_METRICS, time.monotonic() + PATIENCE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            while left > 0 and (wait := until - time.monotonic()) > 0:
                connection.settimeout(wait)
                part = connection.recv(min(left, 65536))
                if not part:
                    return b"".join(parts)
                parts.append(part)
                left -= len(part)
    except OSError:
        pass
    return b""


def scrapes(port: int, wanted: frozenset[str], apart: float) -> list[dict[str, Any]]:
    """One scrape, and a second one so many seconds later; none where the engine answers none."""
    first = scrape(port, wanted)
    if first is None or apart <= 0:
        return [first] if first is not None else []
    time.sleep(apart)
    second = scrape(port, wanted)
    return [first] if second is None else [first, second]


def link(path: str) -> str:
    """The last part of where a link points; empty where there is none."""
    try:
        return Path(path).readlink().name[:200] if path else ""
    except OSError:
        return ""


def drained() -> Any:
    """Why the box is drained and until when; None where it is not."""
    try:
        with DRAINED.open(encoding="utf-8") as stream:
            found = json.loads(stream.read(8192))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        # It is there: whoever drained the box meant it.
        return {}
    keys = ("since", "until", "reason", "by")
    return {key: found.get(key) for key in keys} if isinstance(found, dict) else {}


def failure(program: str, name: str) -> Any:
    """What the program `engine-failure` finds: why a start ended, or how far this one is."""
    try:
        # Of a start before this one nothing is said: it is over.
        found = json.loads(output(program, "--unit", name, "--since", str(time.time())))
    except (ValueError, RecursionError):
        return None
    keys = ("state", "cause", "remedy")
    return {key: found.get(key) for key in keys} if isinstance(found, dict) else None


class Reasons:
    """Why a start ended, asked once for as long as the unit stays so: the journal is long."""

    def __init__(self, program: str, name: str) -> None:
        """By this program, of this unit."""
        self._program, self._name = program, name
        self._of: dict[str, str] = {}
        self._found: Any = None

    def of(self, unit: dict[str, str], clock: float) -> Any:
        """The reason for a unit that systemd shows so now; how far a start is, each time anew."""
        if self._found is not None and unit == self._of:
            return self._found
        found = failure(self._program, self._name)
        since = unit.get("StateChangeTimestampMonotonic", "")
        left = clock - int(since) / 1e6 if since.isascii() and since.isdigit() else 0.0
        over = isinstance(found, dict) and found.get("state") == "ended" and left > WRITTEN
        self._of, self._found = unit, found if over else None
        return found


def together(questions: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """The answers to questions that are asked side by side."""
    answers: dict[str, Any] = dict.fromkeys(questions)

    def ask(name: str) -> None:
        answers[name] = questions[name]()

    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * PATIENCE)
    return answers


def status(asked: dict[str, Any], twice: float, reasons: Reasons) -> str:
    """How the box is now, as one line."""
    wanted = frozenset(asked["metrics"])
    names = [asked["unit"], asked["gateway"]] if asked["gateway"] else [asked["unit"]]
    found = together(
        {
            "units": lambda: units(*names),
            "cards": lambda: output(*CARDS, longest=LONGEST_CARDS),
            "scrapes": lambda: scrapes(asked["port"], wanted, twice),
            "drained": drained,
        }
    )
    known = dict(zip(("unit", "gateway"), found.pop("units") or [{}], strict=False))
    found |= known
    found["engine"], found["snapshot"] = link(asked["engine"]), link(asked["snapshot"])
    found["now"] = time.time()
    found["clock"] = time.monotonic()
    if not found["scrapes"] and known["unit"].get("LoadState") == "loaded":
        found["failure"] = reasons.of(known["unit"], found["clock"])
    return json.dumps(found)


def main() -> int:
    """Read the argument, and print an object for each line of standard input."""
    asked = json.loads(sys.argv[1])
    signal.alarm(asked["left_after"])
    reasons = Reasons(asked.get("failure", ""), asked.get("unit", ""))
    for line in sys.stdin:
        signal.alarm(asked["left_after"])
        text = status(asked, float(line), reasons)
        if len(text) > LONGEST:
            print(f"its answer has {len(text)} bytes", file=sys.stderr)
            return 1
        print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
