"""Open, renew and close the ports at which hosts of a run give parts of a checkpoint to others.

A host closes its port by itself where nobody renews it. Each is opened, renewed and closed in a
thread of its own with its own deadline, so that a silent host delays no other.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fortyninety.model.steps import LOCAL, Silent, StepFailed, Steps

# Seconds for which a host serves where nobody renews it, and between renewals: three may fail.
LIFETIME = 180
RENEWAL = 45


@dataclass
class _Port:
    """The port of one host. `lock` is held while it opens or closes."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    secret: str | None = field(default=None, repr=False)
    failure: str | None = None
    closed: threading.Event = field(default_factory=threading.Event)


class Peers:
    """The serving hosts of one exchange.

    `port` is where each serves, `rate` (KiB/s) how fast at most, and `addresses` are those of the
    fleet, which may read. `report` gets a host's name and a line for people.
    """

    def __init__(
        self,
        port: int,
        rate: int | None,
        addresses: Sequence[str],
        report: Callable[[str, str], None],
    ) -> None:
        self._port = port
        self._rate = rate
        self._addresses = list(addresses)
        self._report = report
        self._lock = threading.Lock()
        self._ports: dict[str, tuple[Steps, _Port]] = {}

    def open(self, steps: Steps, *, whole: bool) -> dict[str, Any]:
        """Open a host's port if it is not; return it as a source for others' `fetch`.

        `whole` says that the host gives what it has published, and not what it verified so far.
        Raises StepFailed, and at once where it could not be opened before.
        """
        secret = self._opened(steps, self._port_of(steps), whole)
        return {
            "kind": "peer",
            "name": steps.name,
            "address": steps.member.address,
            "port": self._port,
            "secret": secret,
        }

    def open_early(self, steps: Steps, *, whole: bool) -> None:
        """Begin to open a host's port while it waits for its first part: others wait for it then.

        Where that fails, `open` says it.
        """
        port = self._port_of(steps)

        def start() -> None:
            try:
                self._opened(steps, port, whole)
            except StepFailed as failed:
                self._report(steps.name, f"it cannot hand on: {failed}")

        threading.Thread(target=start, daemon=True).start()

    def close(self) -> None:
        """Close every port, also one that is just being opened; another `open` opens it anew."""
        with self._lock:
            ports, self._ports = self._ports, {}
        closing = [
            threading.Thread(target=self._close, args=each, daemon=True) for each in ports.values()
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _port_of(self, steps: Steps) -> _Port:
        with self._lock:
            return self._ports.setdefault(steps.name, (steps, _Port()))[1]

    def _opened(self, steps: Steps, port: _Port, whole: bool) -> str:
        """Open a port once, whoever asks first, and begin to renew it; return its secret."""
        with port.lock:
            if port.failure is not None:
                raise StepFailed(LOCAL, port.failure)
            if port.secret is not None:
                return port.secret
            if port.closed.is_set():
                raise StepFailed(LOCAL, "its port was closed: the run is over")
            # Of each host alone: none learns how to read from those that it is not sent to.
            secret = secrets.token_urlsafe(24)
            settings = {
                "address": steps.member.address,
                "port": self._port,
                "members": self._addresses,
                "secret": secret,
                "rate": self._rate,
                "lifetime": LIFETIME,
                "whole": whole,
            }
            try:
                steps.serve(settings)
            except StepFailed as failed:
                port.failure = str(failed)
                raise
            port.secret = secret
            threading.Thread(target=self._renew, args=(steps, port), daemon=True).start()
            return secret

    def _renew(self, steps: Steps, port: _Port) -> None:
        """Keep one daemon from ending while the run goes on."""
        while not port.closed.wait(RENEWAL):
            try:
                steps.keep_serving()
            except Silent as silent:  # It may answer the next time: its time is not over yet.
                self._report(steps.name, f"its port was not renewed: {silent}")
            except StepFailed as failed:
                if not port.closed.is_set():
                    self._report(steps.name, f"it hands on no more: {failed}")
                with port.lock:
                    port.secret = None  # Opened again where others still ask it.
                return

    def _close(self, steps: Steps, port: _Port) -> None:
        port.closed.set()
        with port.lock:
            try:
                steps.stop_serving()
            except StepFailed as failed:
                self._report(steps.name, f"its port closes within {LIFETIME} s: {failed}")
