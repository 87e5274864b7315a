"""Cap every card, by the unit that also does so at boot and when the driver is loaded anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host
from pyinfra.api.command import FunctionCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.cards.power import PowerLimit, cap_problems, caps_in_words, forgetful, uncapped
from fortyninety.operations.converge import Command, converging, failing, say_failed
from fortyninety.operations.reasons import differs
from fortyninety.operations.units import unit_commands
from fortyninety.settings.model import Settings
from fortyninety.survey.latest import current_reading
from fortyninety.survey.reading import HostReading


@converging
def capped(
    reading: HostReading, unit_name: str, settings: Settings, *, persistence_service: str
) -> Iterator[Command]:
    """`unit_name` enabled, started together with `persistence_service`, and every card at its cap.

    A cap or a persistence mode that somebody set by hand is put right. The host fails before the
    unit runs where a cap lies outside a card's own limits or belongs to no card, and after it where
    a card has another one, or may forget it, all the same.
    """
    limit = settings.power_limit
    problems = list(cap_problems(host.name, settings, reading))
    if problems:
        yield failing("; ".join(str(problem) for problem in problems))
        return
    wrong = [*uncapped(reading, limit), *forgetful(reading)]
    differs(*wrong)
    commands = unit_commands(reading, unit_name, current=not wrong)
    # A unit that an earlier release of this project enabled comes back at boot alone.
    if persistence_service not in reading.unit(unit_name, "WantedBy").split():
        differs(f"{unit_name} is not started with {persistence_service}")
        commands.insert(
            0, f"systemctl daemon-reload && systemctl reenable --quiet {shlex.quote(unit_name)}"
        )
    if not commands:
        host.noop(f"{caps_in_words(limit)}, set by {unit_name}")
        return
    yield from commands
    yield FunctionCommand(_require_caps, (limit,), {})


def _require_caps(state: State, host: Host, limit: PowerLimit) -> bool:
    now = current_reading(host)
    wrong = [*uncapped(now, limit), *forgetful(now)]
    if not wrong:
        return True
    say_failed(
        host,
        f"{'; '.join(wrong)}. Somebody or something sets it otherwise: look at `journalctl -u "
        f"fortyninety-power-limit` and for other tools that manage the cards. nvidia-smi says: "
        f"{now.cards.error or 'nothing'}",
    )
    return False
