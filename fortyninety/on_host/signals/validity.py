"""Read the end of a certificate's validity from its bytes, without importing what speaks TLS."""

import binascii
import re
from calendar import timegm

MOST = 64 * 1024
_VERSION, _UTC, _GENERAL = 0xA0, 0x17, 0x18
_PEM = re.compile(
    rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII
)


def file_ends_at(path: str) -> int | None:
    """When the first certificate of a file (PEM) ends; None where there is none."""
    try:
        with open(path, "rb") as stream:
            found = _PEM.search(stream.read(MOST))
        return None if found is None else ends_at(binascii.a2b_base64(found[1]))
    except (OSError, ValueError):
        return None


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
