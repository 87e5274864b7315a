"""Say how many units have to serve so that they carry the load that is seen now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# How full the units that remain may be by what is seen now: load comes in waves.
FULL = 0.9


@dataclass(frozen=True)
class Load:
    """What a unit that serves carries, and what it can: sequences, and tokens of its KV cache.

    `kv_tokens` is 0 where the engine does not say.
    """

    requests: int
    max_requests: int
    kv_used: float = 0.0
    kv_tokens: int = 0


def floor_of(loads: Iterable[Load]) -> int | None:
    """The fewest units that carry all of it, whichever they are; None where not even all do.

    Whichever: the smallest are counted, since any of the others may be the ones that are changed.
    """
    known = list(loads)
    by_requests = _fewest(
        sum(each.requests for each in known), [each.max_requests for each in known]
    )
    tokens = [each.kv_tokens for each in known]
    used = sum(each.kv_used * each.kv_tokens for each in known)
    by_tokens = _fewest(used, tokens) if known and all(tokens) else 0
    if by_requests is None or by_tokens is None:
        return None
    return max(by_requests, by_tokens)


def _fewest(load: float, able: Sequence[int]) -> int | None:
    carried = 0.0
    for count, each in enumerate([0, *sorted(able)]):
        carried += each * FULL
        if carried >= load:
            return count
    return None
