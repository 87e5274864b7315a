"""Define what the lab raises when it cannot go on."""

from __future__ import annotations


class LabError(Exception):
    """A refusal or failure whose message says what was found, what was expected, what to do."""
