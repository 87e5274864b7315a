"""Measure the engine of a host of an inventory, through SSH.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyinfra.api.host import Host

from fortyninety.connection.shell import HostLost, shell
from fortyninety.fit.errors import FitError
from fortyninety.fit.shape import make_shape, one_stage_a_box
from fortyninety.fit.speed import most_tokens_per_second
from fortyninety.fleet.checkpoints import checkpoint_of
from fortyninety.fleet.engines import Serving
from fortyninety.load.cards import QUERY, CardNow, read_cards
from fortyninety.load.target import Target
from fortyninety.plan.fit import host_box
from fortyninety.releases.release import load_release
from fortyninety.survey.reading import HostReading

# Seconds between two readings of the cards, and for one.
INTERVAL = 1.0
PATIENCE = 20


def target_of(serving: Serving) -> Target:
    """The engine of a host, through its SSH connection.

    What it raises besides Unanswered: NotForwarded and HostLost.
    """
    return Target(serving.stream, serving.settings.port)


class _Readings:
    """Readings of a host's cards, taken side by side with a load."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._taken: list[tuple[CardNow, ...]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def taken(self) -> list[tuple[CardNow, ...]]:
        """Those so far."""
        return list(self._taken)

    def end(self) -> None:
        """Take no more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                said = shell(self._host, QUERY, timeout=PATIENCE)
            except HostLost:
                return
            if not (cards := read_cards("\n".join(said.stdout_lines))):
                return
            # One that was asked for while the load ran and came after it is none of it.
            if not self._over.is_set():
                self._taken.append(cards)
            self._over.wait(INTERVAL)


@contextmanager
def watched(host: Host) -> Iterator[_Readings]:
    """Readings of the host's cards as long as the block runs; none where it has no card."""
    readings = _Readings(host)
    try:
        yield readings
    finally:
        readings.end()


def ceiling_of(serving: Serving) -> float | None:
    """The most tokens per second for one reader of the host's shape; None where it is not known."""
    settings = serving.settings
    if load_release(settings.engine).device == "cpu":
        return None
    weights = checkpoint_of(settings, ask=False)
    if isinstance(weights, FitError):
        return None
    try:
        boxes = [
            host_box(each.name, settings, HostReading())[0]
            for each in serving.host.state.inventory
            if each is serving.host or (settings.cell and each.data.get("cell") == settings.cell)
        ]
        size = settings.tensor_parallel_size
        shape = one_stage_a_box(make_shape(boxes, None if size == "all" else size, None))
    except FitError:
        return None
    bandwidth = shape.card.bandwidth
    return None if bandwidth is None else most_tokens_per_second(weights, shape, bandwidth)
