"""Say in words why an operation would change a host.

An operation says what differs before it yields its first command; nobody listens in a deploy. Never
a file's content or a variable's value here, which may hold a secret: names, modes, digests.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pyinfra.api.host import Host
from pyinfra.context import ctx_host, ctx_state

from fortyninety.text.printable import printable


@dataclass
class Reasons:
    """What one operation said of one host while changes were only being detected.

    `differences` are sentences of what is found and expected, `failure` is why a deploy would fail
    there, and `only_asks` is what a deploy would find out and a look cannot.
    """

    differences: list[str] = field(default_factory=list)
    failure: str | None = None
    only_asks: str | None = None


_reasons: WeakKeyDictionary[Host, dict[str, Reasons]] = WeakKeyDictionary()
_failures: WeakKeyDictionary[Host, str] = WeakKeyDictionary()


def differs(*sentences: str) -> None:
    """Say what is not as it should be: "the mode of /etc/x is 600; expected 644"."""
    if (reasons := _current()) is not None:
        reasons.differences += [printable(sentence) for sentence in sentences]


def would_fail(message: str) -> None:
    """Say that the host would fail here, and why."""
    if (reasons := _current()) is not None:
        reasons.failure = printable(message)


def only_asks(question: str) -> None:
    """Say that the operation changes nothing itself, and what it finds out."""
    if (reasons := _current()) is not None:
        reasons.only_asks = question


def remember_failure(host: Host, message: str) -> None:
    """Keep why a host failed while it was being changed; the latest is the one that ended it."""
    _failures[host] = printable(message)


def failure_of(host: Host) -> str | None:
    """Why a host failed, where an operation of this project said so."""
    return _failures.get(host)


def reasons_of(host: Host, operation_hash: str) -> Reasons:
    """What the operation said of the host, in the order it was said."""
    return _reasons.get(host, {}).get(operation_hash, Reasons())


def _current() -> Reasons | None:
    """The record of the operation at work, or None outside of one and while it is carried out."""
    if not ctx_host.isset() or not ctx_state.isset():  # type: ignore[no-untyped-call]
        return None
    if ctx_state.get().is_executing:  # type: ignore[no-untyped-call]
        return None
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    if host.current_op_hash is None:
        return None
    of_host = _reasons.setdefault(host, defaultdict(Reasons))
    return of_host[host.current_op_hash]
