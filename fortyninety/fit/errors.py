"""Report what makes the arithmetic impossible, before anything is fetched."""

from __future__ import annotations


class FitError(ValueError):
    """A checkpoint, a set of cards or a flag that nothing can be computed from.

    The message names what was found, what is expected and what to do.
    """


class CheckpointError(FitError):
    """A checkpoint whose config.json, index or shard headers do not say what it weighs."""


class ShapeError(FitError):
    """Cards, or a split over them, that no engine serves one model from."""
