"""Say when figures cannot be trusted, and why: in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.engine.metrics import Metrics, grown
from fortyninety.load.cards import Draw
from fortyninety.load.figures import Figures

# The share of one core that this program may take before it is what is measured.
BUSY = 0.7
# How late it may be to see a token, as a share of the median time between tokens, and in any case.
LATE = 0.5
LATE_SECONDS = 0.05


def doubts(
    figures: Figures,
    *,
    asked: int,
    own_core: float,
    late: float,
    before: Metrics | None,
    after: Metrics | None,
    draw: Draw | None,
) -> Iterator[str]:
    """Why not to trust the figures of a batch whose answers were to have `asked` tokens in all.

    `own_core` is the share of a core that the client took, `late` how many seconds it was late at
    most.
    """
    if figures.tokens != asked:
        yield f"the engine made {figures.tokens} tokens; asked for {asked}"
    if figures.events < figures.tokens * 0.9:
        yield (
            f"its {figures.tokens} tokens came in {figures.events} parts: times between tokens are "
            "those between parts"
        )
    if own_core > BUSY:
        yield f"this client took {own_core:.0%} of a core: measure from a machine that is less busy"
    between = figures.inter_token.p50 if figures.inter_token is not None else 0.0
    if late > max(LATE_SECONDS, LATE * between):
        yield (
            f"this machine is busy: the client ran {late:.2f} s late, and saw tokens so: measure "
            "from another"
        )
    if draw is not None:
        for reason in draw.held_by:
            yield f"a card's clocks were held down by {reason}"
    if before is None or after is None:
        return
    if before.running or before.waiting:
        yield "another client was at work when it began"
    yield from _of_counters(figures, before, after)


def _of_counters(figures: Figures, before: Metrics, after: Metrics) -> Iterator[str]:
    made = grown(before.generated_tokens, after.generated_tokens)
    if made is None:
        yield "the engine started anew meanwhile"
    elif made > figures.tokens:
        yield (
            f"another client was at work: the engine made {made:.0f} tokens, {figures.tokens} of "
            "them for this one"
        )
    if preempted := grown(before.preemptions, after.preemptions):
        yield f"the KV cache was too small: requests began anew {preempted:.0f} times (preemptions)"
