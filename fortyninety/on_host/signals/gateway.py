"""Say what the gateway and the front say of themselves: whether they serve, until when they may.

A certificate is the one that clients are shown. Its file has the key in it, which is nobody's
business here.
"""

import time

from fortyninety.on_host.signals.ask import status_of
from fortyninety.on_host.signals.metrics import Samples
from fortyninety.on_host.signals.validity import file_ends_at

PATIENCE = 3.0
# Seconds until the certificate is looked at again: a handshake, and the import of what speaks TLS.
AS_LONG = 1800
EXPIRY = "certificate_expiry_timestamp_seconds"
# Of which the controller may name a file: a certificate alone, without its key.
KEPT = ("authority", "front_identity", "monitor")


def read_gateway(
    known: dict[str, object], state: dict[str, object], samples: Samples
) -> bool | None:
    """Whether it could be asked; None where there is none."""
    status_port, port = known.get("status_port"), known.get("gateway_port")
    if not isinstance(status_port, int) or not isinstance(port, int):
        return None
    status = status_of(status_port, "/ready", seconds=PATIENCE)
    samples.add("completion_probe_up", {200: True, 503: False}.get(status or 0))
    ends = _shown_until(port, "certificate", state)
    samples.add(EXPIRY, ends, "gateway")
    return bool(status) and ends is not None


def read_front(known: dict[str, object], state: dict[str, object], samples: Samples) -> bool | None:
    """The same of a front, which serves nobody where it does not answer."""
    status_port, port = known.get("front_status_port"), known.get("front_port")
    if not isinstance(status_port, int) or not isinstance(port, int):
        return None
    samples.add("front_up", status_of(status_port, "/ready", seconds=PATIENCE) == 200)
    ends = _shown_until(port, "front_certificate", state)
    samples.add(EXPIRY, ends, "front")
    return ends is not None


def read_certificates(known: dict[str, object], samples: Samples) -> bool | None:
    """Until when those are valid that nobody is shown; None where the host has none of them."""
    paths = known.get("certificates")
    if not isinstance(paths, dict):
        return None
    found = []
    for name in KEPT:
        path = paths.get(name)
        if isinstance(path, str):
            ends = file_ends_at(path)
            samples.add(EXPIRY, ends, name)
            found.append(ends is not None)
    return all(found)


def _shown_until(port: int, key: str, state: dict[str, object]) -> int | None:
    """When the certificate ends that this port shows, kept in `state` for a while."""
    before = state.get(key)
    now = int(time.time())
    if not isinstance(before, list) or not before[1] <= now < before[1] + AS_LONG:
        # Seldom, and dear.
        from fortyninety.on_host.signals.certificate import served_until  # noqa: PLC0415

        ends = served_until(port, seconds=PATIENCE)
        before = None if ends is None else [ends, now]
        state[key] = before
    return None if before is None else before[0]
