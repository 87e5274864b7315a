"""Which boxes of an inventory are to serve the same, and with what words one of them does."""

from __future__ import annotations

from functools import cache

from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from tests.host.fronts import has_engine
from tests.host.inventory_bridge import Box, run_with_input
from tests.host.live_process import SERVICE

_ARGUMENTS = f"cat /proc/$(systemctl show -P MainPID {SERVICE})/cmdline"
# The cards of a box say how many it is, where the settings leave it to them.
_BY_THE_CARDS = "--tensor-parallel-size"


def siblings_of(box: Box, boxes: list[Box]) -> list[Box]:
    """The boxes with the very settings of this one, from the next on: each looks at another.

    The members of a cell have words of their own, and are none.
    """
    own = _settings(box)
    if own is None:
        return []
    place = boxes.index(box) + 1
    return [each for each in boxes[place:] + boxes[: place - 1] if _settings(each) == own]


@cache
def _settings(box: Box) -> Settings | None:
    found = parse_settings(box.name, box.data) if has_engine(box) else None
    return found if isinstance(found, Settings) and found.cell is None else None


def words_of(box: Box) -> list[str] | None:
    """What the engine of a box was started with; None where none runs, as its own tests say."""
    ran = run_with_input(box, _ARGUMENTS, "")
    return ran.stdout.rstrip("\0").split("\0") if ran.returncode == 0 and ran.stdout else None


def compared(words: list[str]) -> list[str]:
    """The words that siblings have in common."""
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if _BY_THE_CARDS not in {before, word.partition("=")[0]}
    ]
