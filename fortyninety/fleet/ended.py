"""Say how a run of operations ended on a host, by those that were carried out there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.operations.reasons import failure_of


@dataclass(frozen=True)
class Ended:
    """The operations that changed a host, and the one that failed with what was said.

    `whole` is whether all of the host's operations were carried out; `failed` is None where none
    failed.
    """

    changed: tuple[str, ...]
    whole: bool
    failed: str | None = None
    said: str = ""


def ended(state: State, host: Host) -> Ended:
    """How a run ended on a host."""
    metas = {each: state.ops[host][each].operation_meta for each in host.op_hash_order}
    done = {each: meta for each, meta in metas.items() if meta.is_complete()}
    changed = tuple(_name(state, each) for each, meta in done.items() if meta.did_change())
    whole = len(done) == len(metas)
    if host not in state.failed_hosts:
        return Ended(changed, whole)
    subject, lines = "the deploy", ["the connection was lost"]
    for each, meta in done.items():
        if not meta.did_succeed():
            subject, lines = _name(state, each), meta.stderr_lines
    said = failure_of(host) or cause_in(lines) or "see above"
    return Ended(changed, whole, subject, " ".join(said.split()))


def cause_in(lines: Sequence[str]) -> str:
    """Why a command failed, by what it wrote: its last line, or the first of this project's own.

    These begin with the cause and end with where there is more (`on_host/complete.py`); what was
    put back is said after that, with the cause once more.
    """
    told = [line for line in lines if line.strip()]
    if not told:
        return ""
    first, last = told[0], told[-1]
    is_report = any(line.startswith("More: ") for line in told)
    return first if is_report and not last.startswith(first) else last


def _name(state: State, operation_hash: str) -> str:
    return str(sorted(state.get_op_meta(operation_hash).names)[0])
