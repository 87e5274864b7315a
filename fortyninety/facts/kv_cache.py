"""Read the size of the KV cache from the engine's own log line."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from pyinfra.api.facts import FactBase

# Tokens in a block, for releases that count blocks. Source: CacheConfig.block_size on CUDA.
BLOCK = 16
# The same words in every release from 0.6.3 to 0.32.0.
_WHOLE = re.compile(r"\d[\d,]{0,14}", re.ASCII)
_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
# Of the log that is looked at, and of a line of it.
MOST_LINES = 1000
MOST_CHARACTERS = 2000
CONCURRENCY = re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x")


@dataclass(frozen=True)
class KvCache:
    """Tokens that fit, and how many sequences of the longest length at once (None: not said)."""

    tokens: int
    concurrency: float | None


def read_kv_cache(lines: list[str], log_lines: dict[str, Any]) -> KvCache | None:
    """What the engine's log says, by the patterns of its card; None where it does not.

    The last such line counts: with several workers each says it, and a start may follow another.
    A line that is no such line, whatever it looks like, is left out: the engine's log is the
    engine's.
    """
    tokens = concurrency = None
    for line in lines[-MOST_LINES:]:
        for name, size in (("kv_tokens", 1), ("kv_blocks", BLOCK)):
            pattern = log_lines.get(name)
            match = re.search(pattern, line[:MOST_CHARACTERS]) if pattern else None
            if match and _WHOLE.fullmatch(match[1]):
                tokens = int(match[1].replace(",", "")) * size
        match = CONCURRENCY.search(line[:MOST_CHARACTERS])
        if match and _DECIMAL.fullmatch(match[1]):
            concurrency = float(match[1])
    return None if tokens is None else KvCache(tokens, concurrency)


class EngineLog(FactBase[list[str]]):
    """The lines about the KV cache that the engine has logged since its unit was last started."""

    def command(self, service: str) -> str:
        """Always succeeds: a line that is not there is a finding."""
        unit = shlex.quote(service)
        return (
            f"journalctl --quiet --no-pager --output=cat --unit={unit} "
            f'_SYSTEMD_INVOCATION_ID="$(systemctl show --property=InvocationID --value {unit})" '
            "| grep --extended-regexp 'KV cache size|blocks: [0-9]+|Maximum concurrency' || true"
        )

    @staticmethod
    def default() -> list[str]:
        """A service that never ran has logged nothing."""
        return []

    def process(self, output: list[str]) -> list[str]:
        """The lines as they are."""
        return output
