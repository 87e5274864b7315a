"""Every card capped, by the unit that also does it at boot."""

from __future__ import annotations

from collections.abc import Iterator

from pyinfra import host
from pyinfra.api.command import FunctionCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.current_state import current_state
from fortyninety.facts.survey import HostState
from fortyninety.operations.converging import Command, converging, failing, say_failed
from fortyninety.operations.systemd import unit_commands


@converging
def capped(state: HostState, unit_name: str, power_limit: int) -> Iterator[Command]:
    """`unit_name` enabled and run, and every card at `power_limit` (W).

    A cap that somebody set by hand is put right. The host fails before the unit runs where the cap
    lies outside a card's own limits, and after it where a card has another one all the same.
    """
    outside = [
        f"GPU {gpu.index} takes {gpu.power_limit_minimum} to {gpu.power_limit_maximum} W"
        for gpu in state.gpus
        if not gpu.takes(power_limit)
    ]
    if outside:
        yield failing(f"power_limit is {power_limit} W; {'; '.join(outside)}")
        return
    commands = unit_commands(state, unit_name, current=_at(state, power_limit))
    if not commands:
        host.noop(f"every card is capped at {power_limit} W")
        return
    yield from commands
    yield FunctionCommand(_require_cap, (power_limit,), {})


def _at(state: HostState, power_limit: int) -> bool:
    return bool(state.gpus) and all(gpu.power_limit == power_limit for gpu in state.gpus)


def _require_cap(state: State, host: Host, power_limit: int) -> bool:
    now = current_state(host)
    if _at(now, power_limit):
        return True
    found = ", ".join(f"GPU {gpu.index} {gpu.power_limit} W" for gpu in now.gpus)
    say_failed(
        host,
        f"the cap is {found or 'on no card'}; expected {power_limit} W on each. "
        f"nvidia-smi says: {now.gpu_error or 'nothing'}",
    )
    return False
