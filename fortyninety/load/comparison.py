"""Compare with an earlier measurement: what `--json` printed then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fortyninety.load.result import Result, values

# Bytes of a file that is read: a batch has a thousand.
LONGEST = 2**22
_SAME = ("model", "prompt_tokens", "completion_tokens")


class NoEarlier(Exception):
    """Why a file is no earlier measurement, in one line."""


@dataclass(frozen=True)
class Earlier:
    """An earlier measurement: what it was of, and tokens/s by batch and cap."""

    of: Mapping[str, Any]
    speeds: Mapping[tuple[int, int | None], float]


def read_earlier(path: Path) -> Earlier:
    """The measurement that a file holds. Raises NoEarlier."""
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(LONGEST)
        page = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise NoEarlier(f"{path} cannot be read: {error}") from error
    result = page.get("result") if isinstance(page, dict) else None
    if not isinstance(result, dict):
        raise NoEarlier(f"{path} is not what `fortyninety bench --json` prints")
    batches = result.get("batches")
    if not isinstance(batches, list) or not all(isinstance(each, dict) for each in batches):
        raise NoEarlier(f"{path} is not what `fortyninety bench --json` prints")
    speeds = {}
    for each in batches:
        size, cap, speed = (each.get(key) for key in ("batch", "power_cap", "tokens_per_second"))
        if type(size) is int and (cap is None or type(cap) is int) and _is_speed(speed):
            speeds[size, cap] = float(speed)
    return Earlier({key: result.get(key) for key in (*_SAME, "trusted")}, speeds)


def _is_speed(value: object) -> bool:
    return type(value) in (int, float) and 0 < value < 10**9  # type: ignore[operator]


def compare(earlier: Earlier, result: Result) -> Iterator[str]:
    """A line for each batch that both have, and one where they are of different loads."""
    now = values(result)
    other = [key for key in _SAME if now[key] != earlier.of[key]]
    if other:
        yield f"! the earlier one was of another load: {', '.join(other)} differ"
    if earlier.of["trusted"] is not True:
        yield "! the earlier figures were not to be trusted"
    found = False
    for each in now["batches"]:
        before = earlier.speeds.get((each["batch"], each["power_cap"]))
        if before is not None:
            found = True
            speed = each["tokens_per_second"]
            cap = "" if each["power_cap"] is None else f" at {each['power_cap']} W"
            yield (
                f"batch {each['batch']}{cap}: {speed:.1f} tokens/s, earlier {before:.1f} "
                f"({speed / before - 1:+.1%})"
            )
    if not found:
        yield "! the earlier one has none of these batches"
