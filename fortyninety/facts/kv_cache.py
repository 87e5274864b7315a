"""How large the engine's KV cache came out, in its own words."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from pyinfra.api.facts import FactBase

# Tokens in a block, for releases that count blocks. Source: CacheConfig.block_size on CUDA.
BLOCK = 16
# The same words in every release from 0.6.3 to 0.32.0.
CONCURRENCY = re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x")


@dataclass(frozen=True)
class KvCache:
    """Tokens that fit, and how many sequences of the longest length at once (None: not said)."""

    tokens: int
    concurrency: float | None


def read_kv_cache(lines: list[str], log_lines: dict[str, Any]) -> KvCache | None:
    """What the engine's log says, by the patterns of its card; None where it does not.

    The last such line counts: with several workers each says it, and a start may follow another.
    """
    tokens = concurrency = None
    for line in lines:
        if (pattern := log_lines.get("kv_tokens")) and (match := re.search(pattern, line)):
            tokens = int(match[1].replace(",", ""))
        if (pattern := log_lines.get("kv_blocks")) and (match := re.search(pattern, line)):
            tokens = int(match[1]) * BLOCK
        if match := CONCURRENCY.search(line):
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
