#!/usr/bin/env python3
"""Say how a box serves while a rollout goes through its fleet, and note the phase that it is in.

Prints one JSON object and ends with 0. What the engine and the gateway answer is bounded in size
and in time, and every number of it is finite. What cannot be read is left out. Python 3.10, no
packages.

    rolled-out look --record PATH --unit PATH [--port 8000] [--status-port 8090]
        `noted`: the text that stands at PATH. `configuration` and `model`: of the unit on disk.
        `engine`: what its metrics count. `gateway`: whether it is ready, and what it counts.
    rolled-out note --record PATH --text TEXT
        puts the text there by one rename, which has reached the disk when this ends
"""

import argparse
import http.client
import json
import math
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# Seconds for an answer from loopback, and bytes of one: 0.32.0's metrics have 60,000.
PATIENCE = 5.0
LONGEST_ANSWER = 4 * 1024 * 1024
LONGEST_NOTE = 2000
SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(\{.*\})? ([-+.\deEinfNa]+)", re.ASCII)
LABEL = re.compile(r'(\w+)="([^"]*)"', re.ASCII)
CONFIGURATION = re.compile(
    r"^Environment=FORTYNINETY_CONFIGURATION=([0-9a-f]{1,64})$", re.MULTILINE
)
MODEL = re.compile(r"--served-model-name \\?\s*([\w./:@+-]{1,256})", re.ASCII)
# Releases differ in their names; the first that is there counts.
GAPS = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
KV_USED = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
# The gateway's backends that ask the engine: what a client did wrong is refused before them.
ASKING = ("taken", "engine-or-another")

Samples = list[tuple[str, dict[str, str], float]]


def fetched(port: int, path: str) -> tuple[int, str] | None:
    """Return the status and the text of an answer from loopback, or None where there is none."""
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(LONGEST_ANSWER).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.close()


def late(_signal: int, _frame: object) -> None:
    """End an answer that comes too slowly, however it is read. Raises TimeoutError."""
    raise TimeoutError("too slow")


def samples(text: str) -> Samples:
    """Return every sample of a page of metrics whose value is a finite number from 0 on."""
    found = []
    for line in text.splitlines():
        sample = SAMPLE.fullmatch(line)
        if sample is None:
            continue
        try:
            value = float(sample[3])
        except ValueError:
            continue
        if math.isfinite(value) and 0 <= value < 1e18:
            found.append((sample[1], dict(LABEL.findall(sample[2] or "")), value))
    return found


def summed(of: Samples, name: str) -> float | None:
    """Return the sum of a metric over its labels, or None where there is none of the name."""
    values = [value for each, _, value in of if each == name]
    return sum(values) if values else None


def first(of: Samples, names: tuple[str, ...], suffix: str = "") -> float:
    """Return the sum of the first of these metrics that there is, or 0."""
    known = (summed(of, f"{name}{suffix}") for name in names)
    return next((value for value in known if value is not None), 0.0)


def engine(port: int) -> dict[str, Any] | None:
    """Return what the engine counts, or None where it does not say."""
    page = fetched(port, "/metrics")
    if page is None or page[0] != 200:
        return None
    found = samples(page[1])
    ended = [
        (labels, value) for name, labels, value in found if name == "vllm:request_success_total"
    ]
    blocks = 0.0
    for name, labels, _ in found:
        if name == "vllm:cache_config_info":
            sizes = (labels.get("num_gpu_blocks", ""), labels.get("block_size", ""))
            if all(size.isascii() and size.isdigit() and len(size) < 10 for size in sizes):
                blocks += int(sizes[0]) * int(sizes[1])
    return {
        "running": int(summed(found, "vllm:num_requests_running") or 0),
        "waiting": int(summed(found, "vllm:num_requests_waiting") or 0),
        "requests": int(sum(value for _, value in ended)),
        "failed": int(
            sum(value for labels, value in ended if labels.get("finished_reason") == "error")
        ),
        "gaps": int(first(found, GAPS, "_count")),
        "gap_seconds": first(found, GAPS, "_sum"),
        "kv_used": min(1.0, first(found, KV_USED)),
        "kv_tokens": int(blocks),
    }


def gateway(port: int) -> dict[str, Any]:
    """Return whether the gateway is ready, by a completion of its own, and what it counts."""
    ready, page = fetched(port, "/ready"), fetched(port, "/metrics")
    found = samples(page[1]) if page is not None and page[0] == 200 else []
    answers = [
        (labels.get("code"), value)
        for name, labels, value in found
        if name == "haproxy_backend_http_responses_total" and labels.get("proxy") in ASKING
    ]
    return {
        "ready": ready is not None and ready[0] == 200,
        "requests": int(sum(value for _, value in answers)),
        "failed": int(sum(value for code, value in answers if code == "5xx")),
    }


def text_of(path: Path, longest: int) -> str | None:
    """Return the beginning of a file, or None where it cannot be read."""
    try:
        with path.open(errors="replace") as stream:
            return stream.read(longest)
    except OSError:
        return None


def look(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how the box is."""
    unit = text_of(arguments.unit, 2**20) or ""
    configuration, model = CONFIGURATION.search(unit), MODEL.search(unit)
    noted = text_of(arguments.record, LONGEST_NOTE + 1)
    return {
        # Without its line end, which whoever reads an answer would not take for one.
        "noted": None if noted is None else noted.strip(),
        "configuration": configuration[1] if configuration else None,
        "model": model[1] if model else None,
        "engine": engine(arguments.port) if arguments.port else None,
        "gateway": gateway(arguments.status_port) if arguments.status_port else None,
    }


def note(arguments: argparse.Namespace) -> dict[str, Any]:
    """Put the text in place, or return why not."""
    path: Path = arguments.record
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with beside.open("w") as stream:
            stream.write(arguments.text[:LONGEST_NOTE])
            stream.flush()
            os.fsync(stream.fileno())
        beside.chmod(0o644)
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        return {"error": f"{path}: {error.strerror}"}
    return {"error": None}


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="See the module.")
    actions = parser.add_subparsers(required=True)
    looking = actions.add_parser("look")
    looking.add_argument("--record", type=Path, required=True)
    looking.add_argument("--unit", type=Path, required=True)
    looking.add_argument("--port", type=int, default=0)
    looking.add_argument("--status-port", type=int, default=0)
    looking.set_defaults(do=look)
    noting = actions.add_parser("note")
    noting.add_argument("--record", type=Path, required=True)
    noting.add_argument("--text", required=True)
    noting.set_defaults(do=note)
    arguments = parser.parse_args()
    json.dump(arguments.do(arguments), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
