"""Define profiles: the longest sequence, and how many sequences at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ProfileName = Literal["long-context", "balanced", "burst"]


@dataclass(frozen=True)
class Profile:
    """A name for the engine's limits: `max_model_len` in tokens, `max_num_seqs` sequences.

    `max_model_len` counts prompt and answer together. `max_num_batched_tokens` is how many tokens
    are read at once, or None for the release's own number.
    """

    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int | None = None


# How many tokens of prompts are read at once. The default release would read every prompt whole, by
# which the tutorial's `balanced` dies at its first prompt of 15,000 tokens: measured,
# docs/fit-measured.md. 2048 is what later releases take by themselves.
CUT = 2048

# From the tutorial that this project grew from, all but its fourth (4096 x 16), which it warns of.
PROFILES: dict[ProfileName, Profile] = {
    "long-context": Profile(max_model_len=32768, max_num_seqs=1, max_num_batched_tokens=CUT),
    "balanced": Profile(max_model_len=16384, max_num_seqs=4, max_num_batched_tokens=CUT),
    "burst": Profile(max_model_len=8192, max_num_seqs=8, max_num_batched_tokens=CUT),
}

PROFILE_NAMES: tuple[str, ...] = get_args(ProfileName)
