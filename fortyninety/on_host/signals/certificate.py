"""Read until when a certificate is valid, which Python's own ssl says of no unverified one."""

import socket
import ssl
from calendar import timegm

from fortyninety.on_host.signals.ask import LOOPBACK

_VERSION, _UTC, _GENERAL = 0xA0, 0x17, 0x18


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


def ends_at(certificate: bytes) -> int | None:
    """The end of a certificate's validity as Unix time, from its DER (RFC 5280, 4.1)."""
    try:
        _, whole, _ = _element(certificate)
        _, inner, _ = _element(whole)
        tag, _, rest = _element(inner)
        if tag == _VERSION:
            tag, _, rest = _element(rest)
        # The serial number is read; then the algorithm and who issued it.
        _, _, rest = _element(rest)
        _, _, rest = _element(rest)
        _, validity, _ = _element(rest)
        _, _, rest = _element(validity)
        tag, text, _ = _element(rest)
        return _moment(text.decode("ascii"), long={_UTC: False, _GENERAL: True}[tag])
    except (ValueError, IndexError, KeyError):
        return None


def _moment(text: str, *, long: bool) -> int:
    if not long:
        # RFC 5280: 50 and above is of the century before.
        text = ("19" if text[:2] >= "50" else "20") + text
    numbers = [int(text[:4]), *(int(text[at : at + 2]) for at in (4, 6, 8, 10, 12))]
    return timegm((*numbers, 0, 0, 0))


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element: its tag, its content, and what follows it. Raises IndexError."""
    tag, length, at = data[0], data[1], 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("a length of another form")
        length, at = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    content = data[at : at + length]
    if len(content) != length:
        raise ValueError("it ends early")
    return tag, content, data[at + length :]
