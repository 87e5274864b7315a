"""Put back the unit that served before the one that failed, and see it answer."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from fortyninety.on_host.restore.lease import still_ours
from fortyninety.on_host.roll_back import Failure, Unit, answers, switch, target

# Seconds that an engine without an answer has to end in: one that hangs has 60 of its unit's.
PATIENCE = 20.0


def restored(options: argparse.Namespace, failed: str) -> str | None:
    """What serves again and since when; None where nothing else served before.

    `failed` is the configuration that is to be on disk. Raises Failure where nothing is put back,
    or what was put back does not answer.
    """
    began = time.monotonic()
    with still_ours(options.run):
        now = Unit(Path(options.unit))
        if now.configuration != failed:
            raise Failure("another unit was put in its place meanwhile")
        if is_latest(options, now):
            return None
        to = target(options, now)
        until = to.served_at
        switch(now, to, patience=PATIENCE)
    answers(options, to)
    return (
        f"{to.release} (configuration {to.configuration}), which served at {moment(until)}, "
        f"serves again since {moment(time.time())} (after {time.monotonic() - began:.0f} s)"
    )


def is_latest(options: argparse.Namespace, now: Unit) -> bool:
    """Whether nothing that is as it was when it served did so later than the unit on disk."""
    kept = [Unit(path) for path in Path(options.install_directory, "served").glob("*.service")]
    latest = max(
        (each for each in kept if each.intact), key=lambda each: each.served_at, default=None
    )
    if latest is None:
        return not any(each.configuration != now.configuration for each in kept)
    return latest.configuration == now.configuration


def moment(seconds: float) -> str:
    """A time as a message has it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
