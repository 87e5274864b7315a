"""Say how a box with a gateway is drained: by the program that a deploy puts there."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from fortyninety.deadlines import UNIT
from fortyninety.on_host.drain.state import LONGEST_SECONDS, Drained
from fortyninety.plan.paths import Paths, plan_paths
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings

# What a box says of itself that a deploy drained.
REASON = "its engine restarts"


@dataclass(frozen=True)
class Draining:
    """The program on a box, where its engine listens, and by what a deploy bounds it.

    `wait` is how long what is under way may take, and `seconds` when it ends by itself where the
    deploy does not come back. `before` is what it was drained by when the plan was made.
    """

    program: str
    engine_port: int
    wait: int
    seconds: int
    before: Drained | None = None

    def begin(self, reason: str, by: str, seconds: int) -> str:
        """The command that drains the box, waiting for nothing."""
        words = ("--reason", reason, "--by", by, "--seconds", str(seconds), *self._engine)
        return shlex.join((self.program, "begin", *words))

    def wait_for(self, seconds: float) -> str:
        """The command that waits for what is under way."""
        return shlex.join((self.program, "wait", "--wait", f"{seconds:g}", *self._engine))

    def end(self) -> str:
        """The command that has the box serve again."""
        return shlex.join((self.program, "end", *self._engine))

    def status(self) -> str:
        """The command that says how the box is."""
        return shlex.join((self.program, "status", *self._engine))

    def before_a_restart(self, by: str) -> str:
        """The command of a deploy that drains the box and waits; nothing where there is none."""
        begin = self.begin(REASON, by, self.seconds)
        return self._if_there(f"{begin} --of-deploy --wait {self.wait}")

    def after_a_restart(self) -> str:
        """The command of a deploy that has a box serve that it drained, or one that was cut."""
        return self._if_there(f"{self.end()} --of-deploy")

    def expire(self) -> str:
        """The command that has the box serve again whose moment has passed."""
        return self._if_there(shlex.join((self.program, "expire")))

    def _if_there(self, command: str) -> str:
        return f"[ ! -x {shlex.quote(self.program)} ] || {command}"

    @property
    def _engine(self) -> tuple[str, ...]:
        return ("--engine-port", str(self.engine_port))


def plan_draining(settings: Settings, paths: Paths, before: Drained | None = None) -> Draining:
    """How a host with these settings is drained."""
    longest = settings.drain_timeout + settings.reboot_timeout + settings.ready_timeout + 2 * UNIT
    return Draining(
        program=paths.drain,
        engine_port=settings.port,
        wait=settings.drain_timeout,
        seconds=min(longest, LONGEST_SECONDS),
        before=before,
    )


def in_words(drained: Drained) -> str:
    """Until when, by whom and why, in one line."""
    until = datetime.fromtimestamp(drained.until, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"drained until {until} UTC by {drained.by} ({drained.reason})"


def draining_of(settings: Settings) -> Draining:
    """The same where nothing is planned."""
    return plan_draining(settings, plan_paths(settings, load_release(settings.engine)))
