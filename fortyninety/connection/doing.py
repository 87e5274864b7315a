"""Name what is being done on a host, so that what is late or lost fails under that name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pyinfra.api.host import Host

# What a greenlet does beside the operation that is at work on its host.
_BESIDE: ContextVar[str | None] = ContextVar("beside", default=None)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Name what this greenlet does on hosts: `what`, and not the operation that is at work there.

    So a command that is late or lost fails under its own name.
    """
    before = _BESIDE.set(what)
    try:
        yield
    finally:
        _BESIDE.reset(before)


def doing_now(host: Host, command: Any) -> str:
    """Return the current operation, or else the beginning of the command, never its input."""
    if (beside := _BESIDE.get()) is not None:
        return beside
    operation = host.executing_op_hash or host.current_op_hash
    if operation is not None:
        return f"`{', '.join(sorted(host.state.get_op_meta(operation).names))}`"
    first, _, more = str(command).strip().partition("\n")
    return f"`{first[:80]}{' ...' if more or len(first) > 80 else ''}`"
