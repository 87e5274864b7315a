"""Which hosts of an inventory are fronts, and which boxes are behind them, by their settings."""

from __future__ import annotations

from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from tests.host.inventory_bridge import Box, cell_members


def boxes_behind(front: Box, everyone: tuple[Box, ...]) -> list[Box]:
    """The boxes that a front lets people in to."""
    return [each for each in everyone if _answers(each, everyone) and _alike(each, front)]


def fronts_before(box: Box, everyone: tuple[Box, ...]) -> list[Box]:
    """The fronts that let people in to a box."""
    if not _answers(box, everyone):
        return []
    return [each for each in everyone if is_front(each) and _alike(each, box)]


def is_front(box: Box) -> bool:
    """Whether a host lets people in to boxes."""
    return "gateway" in box.data["roles"]


def has_engine(box: Box) -> bool:
    """Whether an engine serves on a host."""
    return "engine" in box.data["roles"]


def _answers(box: Box, everyone: tuple[Box, ...]) -> bool:
    """Whether an engine answers: of a cell the head's."""
    return has_engine(box) and cell_members(box, everyone)[:1] in ([], [box])


def _alike(one: Box, other: Box) -> bool:
    """Whether both are of the same model's name."""
    found = [parse_settings(each.name, each.data) for each in (one, other)]
    models = [each.model_name for each in found if isinstance(each, Settings)]
    return len(models) == 2 and models[0] == models[1]
