"""Say what the gateway says of itself: whether a completion came back, and until when it is valid.

The certificate is the one that clients are shown. Its file has the key in it, which is nobody's
business here.
"""

import time

from fortyninety.on_host.signals.ask import status_of
from fortyninety.on_host.signals.metrics import Samples

PATIENCE = 3.0
# Seconds until the certificate is looked at again: a handshake, and the import of what speaks TLS.
AS_LONG = 1800


def read_gateway(
    known: dict[str, object], state: dict[str, object], samples: Samples
) -> bool | None:
    """Whether it could be asked; None where there is none."""
    status_port, port = known.get("status_port"), known.get("gateway_port")
    if not isinstance(status_port, int) or not isinstance(port, int):
        return None
    status = status_of(status_port, "/ready", seconds=PATIENCE)
    samples.add("completion_probe_up", {200: True, 503: False}.get(status or 0))
    before = state.get("certificate")
    now = int(time.time())
    if not isinstance(before, list) or not before[1] <= now < before[1] + AS_LONG:
        # Seldom, and dear.
        from fortyninety.on_host.signals.certificate import served_until  # noqa: PLC0415

        ends = served_until(port, seconds=PATIENCE)
        before = None if ends is None else [ends, now]
        state["certificate"] = before
    if before is not None:
        samples.add("certificate_expiry_timestamp_seconds", before[0], "gateway")
    return bool(status) and before is not None
