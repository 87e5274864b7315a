"""Until when a certificate is valid, of those that there are and of what is none."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fortyninety.on_host.signals.certificate import ends_at, served_until
from tests.unit.on_host.signals.test_ask import listening
from tests.unit.serving_tls import certificate

__all__ = ["certificate"]


def der(ends: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a box")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=9))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    "ends",
    [
        datetime(2027, 2, 28, 23, 59, 58, tzinfo=UTC),
        # From 2050 on in another form.
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(1999, 6, 1, 12, 0, 1, tzinfo=UTC),
    ],
)
def test_the_end_is_read(ends: datetime) -> None:
    assert ends_at(der(ends)) == ends.timestamp()


def test_what_is_none_has_no_end() -> None:
    whole = der(datetime(2030, 1, 1, tzinfo=UTC))
    for cut in range(0, 120, 3):
        assert ends_at(whole[:cut]) is None
    for junk in (b"", b"\x30", b"\x30\x89" + b"\xff" * 20, b"\xa0" * 90, b"\x30\x80" * 40):
        assert ends_at(junk) is None


def test_it_is_the_one_that_clients_are_shown(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def behave(connection: object) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:  # type: ignore[arg-type]
            secured.recv(1)

    with listening(behave) as port:
        shown = served_until(port, seconds=10)
    own = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert shown == own.not_valid_after_utc.timestamp()


def test_who_speaks_no_tls_shows_none() -> None:
    with listening(lambda connection: connection.sendall(b"HTTP/1.1 400\r\n\r\n")) as port:
        assert served_until(port, seconds=5) is None
