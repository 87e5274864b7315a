"""Write down how the tests of a host ended, for the host to keep: when, and how many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from fortyninety.check.report import REACH, Result

OUTCOMES = ("passed", "failed", "skipped")


def records(results: Sequence[Result], at: float) -> dict[str, str]:
    """The text for each host that was looked at; one that could not be has none."""
    unknown = {each.host for each in results if each.area == REACH and each.outcome == "failed"}
    counted: dict[str, Counter[str]] = {}
    for each in results:
        if each.host not in unknown:
            counted.setdefault(each.host, Counter())[each.outcome] += 1
    return {
        host: json.dumps({"at": int(at), **{each: found[each] for each in OUTCOMES}}) + "\n"
        for host, found in counted.items()
    }
