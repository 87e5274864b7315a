"""Say whether a gateway's certificate is to be replaced, and make what replaces it.

The host has certificate and key in one file, so that one rename replaces both. Its first line has
the SHA-256 of what follows: the survey says whether that is so, and never has the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fortyninety.gateway.authority import (
    FOR_SERVERS,
    LARGEST,
    AuthorityUnusable,
    authority_in,
    is_there,
    issue,
    names_of,
    why_renew,
)

SEAL = "# fortyninety"


class CertificateUnusable(Exception):
    """Why a certificate of the operator's cannot be used: what was found, and what is expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}; expected {expected}")
        self.found, self.expected = found, expected


@dataclass(frozen=True)
class Found:
    """What a host has: its certificates, whether the file is as it was written, and its digest."""

    certificates: str | None = None
    whole: bool = False
    sha256: str | None = None


class CertificateSource(Protocol):
    """Where a gateway's certificate comes from."""

    def why_replaced(self, found: Found, now: datetime) -> str | None:
        """Why what the host has is to be replaced, or None. Raises AuthorityUnusable."""

    def made(self, now: datetime) -> str:
        """The text of the file, with the key. Raises AuthorityUnusable."""


@dataclass(frozen=True)
class Issued:
    """Certificates that the fleet's own authority signs for these names of a host.

    For servers, or with FOR_FRONTS what boxes know a front by.
    """

    folder: Path
    fleet: str
    names: tuple[str, ...]
    purpose: x509.ObjectIdentifier = FOR_SERVERS

    def why_replaced(self, found: Found, now: datetime) -> str | None:
        """Why it is to be issued again: an authority that is not there yet is made with it."""
        if found.certificates is None:
            return "it is missing"
        if not found.whole:
            return "it is not as it was written"
        if not is_there(self.folder):
            return "the fleet has no authority yet"
        authority = authority_in(self.folder, self.fleet, now)
        return why_renew(authority, found.certificates, self.names, now, self.purpose)

    def made(self, now: datetime) -> str:
        """A new key, signed."""
        authority = authority_in(self.folder, self.fleet, now)
        return sealed(issue(authority, self.names, now, self.purpose))


class AuthoritySource(Protocol):
    """Where the certificate of the fleet's authority comes from."""

    def text(self, now: datetime) -> str | None:
        """It, or None where there is no authority yet. Raises AuthorityUnusable."""

    def made(self, now: datetime) -> str:
        """It, of an authority that is made with it if need be. Raises AuthorityUnusable."""


@dataclass(frozen=True)
class Believed:
    """The certificate of the authority of a folder: it is no secret."""

    folder: Path
    fleet: str

    def text(self, now: datetime) -> str | None:
        """It, or None where there is no authority yet."""
        return self.made(now) if is_there(self.folder) else None

    def made(self, now: datetime) -> str:
        """It, of an authority that is made with it if need be."""
        return authority_in(self.folder, self.fleet, now).pem


@dataclass(frozen=True)
class Given:
    """A certificate of the operator's, as its file has it."""

    pem: str

    def why_replaced(self, found: Found, now: datetime) -> str | None:
        """Why it is put there again: whenever the host has anything else."""
        if found.sha256 is None:
            return "it is missing"
        same = hashlib.sha256(self.made(now).encode()).hexdigest() == found.sha256
        return None if same else "it is another than gateway_certificate"

    def made(self, now: datetime) -> str:
        """The file itself."""
        return sealed(self.pem)


def sealed(pem: str) -> str:
    """The text of a host's file."""
    return f"{SEAL} {hashlib.sha256(pem.encode()).hexdigest()}\n{pem}"


def given(path: Path, names: Sequence[str], now: datetime) -> Given:
    """The certificate of an operator's file, for these names. Raises CertificateUnusable."""
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise CertificateUnusable(f"not readable ({error.strerror})", "a PEM file") from error
    try:
        pem = content.decode("ascii")
        certificates = x509.load_pem_x509_certificates(content)
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateUnusable(
            "no certificate with its key", "both in one PEM file, the key without a passphrase"
        ) from error
    own = certificates[0]
    if len(content) > LARGEST:
        raise CertificateUnusable(f"larger than {LARGEST} bytes", "a certificate and its chain")
    if key.public_key() != own.public_key():
        raise CertificateUnusable(
            "with the key of another certificate", "the host's own certificate first, and its key"
        )
    if not own.not_valid_before_utc <= now < own.not_valid_after_utc:
        raise CertificateUnusable(
            f"valid from {own.not_valid_before_utc:%Y-%m-%d} to {own.not_valid_after_utc:%Y-%m-%d}",
            "one that is valid now",
        )
    if missing := [name for name in names if not _covered(name, names_of(own))]:
        raise CertificateUnusable(f"not for {missing[0]}", "one for each of gateway_names")
    return Given(pem if pem.endswith("\n") else f"{pem}\n")


def _covered(name: str, names: frozenset[str]) -> bool:
    _, point, parent = name.lower().partition(".")
    return name.lower() in names or bool(point and f"*.{parent}" in names)


__all__ = [
    "AuthoritySource",
    "AuthorityUnusable",
    "Believed",
    "CertificateSource",
    "CertificateUnusable",
    "Found",
    "Given",
    "Issued",
    "given",
    "sealed",
]
