"""The fleet's own certificate authority: made once on the controller, where its key stays."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fortyninety.text.private_file import ReadableByOthers, read_private

AUTHORITY_DAYS = 3650
SERVER_DAYS = 90
# A deploy a month renews in time, with a month to spare.
RENEWED_BEFORE = timedelta(days=SERVER_DAYS // 2)
# Clocks of hosts and clients that are behind.
SKEW = timedelta(hours=1)
CERTIFICATE = "authority.pem"
KEY = "authority.key"
LARGEST = 64 * 1024
FOR_SERVERS = ExtendedKeyUsageOID.SERVER_AUTH
# A server's certificate opens no door of a client's.
FOR_FRONTS = ExtendedKeyUsageOID.CLIENT_AUTH
# Whose certificate reads what boxes say of themselves: no host can have this name (RFC 6761).
MONITOR = "monitor.fortyninety.invalid"


class AuthorityUnusable(Exception):
    """Why the authority cannot be read or made, in one line."""


@dataclass(frozen=True)
class Authority:
    """A certificate that signs, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """What clients are given to believe the gateways' certificates."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def authority_in(folder: Path, fleet: str, now: datetime) -> Authority:
    """Return the authority of the folder, made where there is none. Raises AuthorityUnusable.

    The key is readable by its owner alone, or refused.
    """
    try:
        if not is_there(folder):
            _make(folder, fleet, now)
        return _read(folder)
    except OSError as error:
        raise AuthorityUnusable(f"the authority in {folder}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise AuthorityUnusable(f"the authority in {folder} is no certificate and key") from error


def is_there(folder: Path) -> bool:
    """Whether there is anything of an authority in the folder."""
    return (folder / KEY).exists() or (folder / CERTIFICATE).exists()


def authority_folder(inventory: Path) -> Path:
    """Where the authority of an inventory is: beside it, prod.authority for prod.py."""
    return inventory.with_name(f"{inventory.stem}.authority")


def issue(
    authority: Authority,
    names: Sequence[str],
    now: datetime,
    purpose: x509.ObjectIdentifier = FOR_SERVERS,
) -> str:
    """Sign a new key for a server of these names; return both, as HAProxy reads them.

    With FOR_FRONTS it is no server's, but what a front is known by to the boxes behind it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + timedelta(days=SERVER_DAYS), authority.certificate.not_valid_after_utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(names[0][:64]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _pem_of(certificate) + _pem_of_key(key)


def why_renew(
    authority: Authority,
    pem: str,
    names: Sequence[str],
    now: datetime,
    purpose: x509.ObjectIdentifier = FOR_SERVERS,
) -> str | None:
    """Why a certificate is to be issued again, or None where it serves on."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, TypeError):
        return "it is no certificate"
    if not _signed_by(authority, certificate):
        return "another authority signed it"
    if names_of(certificate) != {_as_written(each) for each in _general_names(names)}:
        return "it is for other names"
    if purpose not in _purposes(certificate):
        return "it is for another purpose"
    return _out_of_time(certificate, now)


def ends_at(pem: str) -> int:
    """Until when the first certificate of a text is valid, as Unix time."""
    return int(x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp())


def _signed_by(authority: Authority, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _out_of_time(certificate: x509.Certificate, now: datetime) -> str | None:
    if now < certificate.not_valid_before_utc:
        return "it is not valid yet"
    if certificate.not_valid_after_utc - now < RENEWED_BEFORE:
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    return None


def _make(folder: Path, fleet: str, now: datetime) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named(f"fortyninety {fleet}"[:64])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    # No copy of the key gets into a repository by accident.
    _write(folder / ".gitignore", "*\n", 0o644)
    # The key first: a certificate is there only with its key.
    _write(folder / KEY, _pem_of_key(key), 0o600)
    _write(folder / CERTIFICATE, _pem_of(certificate), 0o644)


def _read(folder: Path) -> Authority:
    try:
        content = read_private(folder / KEY, LARGEST)
    except ReadableByOthers as error:
        raise AuthorityUnusable(f"{folder / KEY} is a file that {error}: chmod 600 it") from error
    key = serialization.load_pem_private_key(content, password=None)
    with (folder / CERTIFICATE).open("rb") as stream:
        certificate = x509.load_pem_x509_certificate(stream.read(LARGEST))
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityUnusable(f"{folder / KEY} is a key of another kind: expected one of P-256")
    if key.public_key() != certificate.public_key():
        raise AuthorityUnusable(f"{folder / KEY} is not the key of {folder / CERTIFICATE}")
    return Authority(certificate, key)


def _write(path: Path, text: str, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(file, "w") as stream:
        stream.write(text)


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(_as_written(each) for each in names.value)


def _purposes(certificate: x509.Certificate) -> Sequence[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ()


def _as_written(name: x509.GeneralName) -> str:
    return str(name.value).lower()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
