"""Say where a host has its gateway and its front, each an HAProxy with files of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from fortyninety.plan import paths

NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Instance:
    """One of a host's HAProxys: its unit, its files, and what the running one says of itself.

    `name` is what people call it. `identity` is what others know it by, if they do.
    """

    name: str
    service: str
    unit: str
    folder: str
    configuration: str
    certificate: str
    keys: str
    authority: str
    identity: str | None = None

    @property
    def runtime(self) -> str:
        """The folder of the running one, below /run."""
        return self.service.removesuffix(".service")

    @property
    def control_socket(self) -> str:
        """Where the running one is told what to do."""
        return f"/run/{self.runtime}/control.sock"

    @property
    def note(self) -> str:
        """What root notes of what the running one loaded."""
        return f"/run/fortyninety/{self.service}.loaded"

    @property
    def certificates(self) -> tuple[str, ...]:
        """Its files of certificates, as `gateway-control` takes them together."""
        return tuple(
            each for each in (self.certificate, self.identity, self.authority) if each is not None
        )

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of it."""
        return (self.unit, self.configuration, *self.certificates, self.keys)


GATEWAY = Instance(
    name="gateway",
    service=paths.GATEWAY_SERVICE,
    unit=paths.GATEWAY_UNIT,
    folder=paths.GATEWAY_FOLDER,
    configuration=paths.GATEWAY_CONFIGURATION,
    certificate=paths.GATEWAY_CERTIFICATE,
    keys=paths.GATEWAY_KEYS,
    authority=paths.GATEWAY_AUTHORITY,
)
FRONT = Instance(
    name="front",
    service=paths.FRONT_SERVICE,
    unit=paths.FRONT_UNIT,
    folder=paths.FRONT_FOLDER,
    configuration=paths.FRONT_CONFIGURATION,
    certificate=paths.FRONT_CERTIFICATE,
    keys=paths.FRONT_KEYS,
    authority=paths.FRONT_AUTHORITY,
    identity=paths.FRONT_IDENTITY,
)


def digest_of_all(digests: Sequence[str]) -> str:
    """One SHA-256 of those of several files, as `gateway-control` notes it; of one, its own."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()
