"""What a box prints of itself, as a test wants it."""

from __future__ import annotations

import json
from typing import Any

ACTIVE = {
    "Id": "vllm.service",
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "NRestarts": "0",
    "ActiveEnterTimestampMonotonic": "100000000",
}
CARDS = (
    "0, 23130, 24564, 398.12, 400.00, 71, 99, 0x0000000000000004\n"
    "1, 23120, 24564, 380.00, 400.00, 68, 99, 0x0000000000000000\n"
)


def scrape(time: float, made: float, **values: float) -> dict[str, Any]:
    found = {"num_requests_running": 4, "num_requests_waiting": 1, "kv_cache_usage_perc": 0.45}
    found |= {"generation_tokens_total": made, **values}
    return {"time": time, "values": [[f"vllm:{key}", value] for key, value in found.items()]}


def answer(**changed: Any) -> str:
    found: dict[str, Any] = {
        "unit": ACTIVE,
        "cards": CARDS,
        "scrapes": [scrape(200.0, 1000), scrape(200.5, 1100)],
        "drained": None,
        "engine": "0.32.0-04b6dd22f06c",
        "snapshot": "d19cd83e32d84e3f21f93e6ba54f73555ef2841b",
        "now": 1_000_000.0,
        "clock": 200.5,
    }
    return json.dumps({**found, **changed})
