"""Read until when a certificate is valid, which Python's own ssl says of no unverified one."""

import socket
import ssl

from fortyninety.on_host.signals.ask import LOOPBACK
from fortyninety.on_host.signals.validity import ends_at


def served_until(port: int, *, seconds: float) -> int | None:
    """When the certificate ends that a port of loopback shows; None where it shows none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((LOOPBACK, port), timeout=seconds) as plain,
            context.wrap_socket(plain) as connection,
        ):
            certificate = connection.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None
    return None if certificate is None else ends_at(certificate)
