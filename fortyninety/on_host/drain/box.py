"""Drain a box and have it serve again: the file, the gateway and the timer together."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fortyninety.on_host.drain import state
from fortyninety.on_host.drain.state import Drained
from fortyninety.on_host.drain.timer import Timer
from fortyninety.on_host.gateway_control import (
    NotInForce,
    alone_in,
    put_in_force,
    write_drained,
)


@dataclass(frozen=True)
class Box:
    """A box with a gateway: the gateway's folder and control socket, the file and the timer.

    Whatever is done is begun by the file, from which a gateway that starts at any moment reads it,
    and the timer is there before it.
    """

    folder: Path
    control_socket: Path
    state: Path
    timer: Timer

    def drained(self) -> Drained | None:
        """Until when it is drained, and more of it; None where it is not."""
        return state.read(self.state)

    def drain(self, reason: str, by: str, seconds: int) -> bool:
        """Drain it, or go on with that until another moment; False where no gateway runs.

        One that somebody drained stays as it is where a deploy comes to it. Raises NotInForce,
        TimerUnusable, and ValueError for what may not stand in the file; the box serves then.
        """
        state.checked(reason, by, seconds)
        with alone_in(self.folder):
            now, before = int(time.time()), self.drained()
            wanted = Drained(now if before is None else before.since, now + seconds, reason, by)
            if before is not None and wanted.is_of_a_deploy and not before.is_of_a_deploy:
                return self._follow()
            try:
                self.timer.begin(wanted.until)
                state.write(self.state, wanted)
                return self._follow()
            except BaseException:
                self.state.unlink(missing_ok=True)
                with suppress(NotInForce):
                    self._follow()
                self.timer.end()
                raise

    def serve(self) -> bool:
        """Have it serve again; False where no gateway runs. Raises NotInForce, TimerUnusable."""
        with alone_in(self.folder):
            return self._end()

    def expire(self) -> None:
        """Have it serve again if its moment has passed. Raises as `serve` does."""
        with alone_in(self.folder):
            if self.drained() is None:
                self._end()

    def serve_after_a_deploy(self) -> None:
        """Have it serve again unless somebody else than a deploy drained it. Raises as `serve`."""
        with alone_in(self.folder):
            drained = self.drained()
            if drained is None or drained.is_of_a_deploy:
                self._end()

    def _end(self) -> bool:
        self.state.unlink(missing_ok=True)
        runs = self._follow()
        # Last: until then it tries again.
        self.timer.end()
        return runs

    def _follow(self) -> bool:
        """Have the gateway follow the file."""
        path, text = write_drained(self.folder, self.state)
        return put_in_force(path, text, self.control_socket)
