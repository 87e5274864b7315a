"""What of a gateway's or a front's files is on disk, and what the running one noted of them."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

from cryptography import x509
from testinfra.host import Host

LEAST_LEFT = timedelta(days=14)
CERTIFICATES = ("server.pem", "identity.pem", "authority.pem")
NOTHING = hashlib.sha256(b"").hexdigest()


def noted(host: Host, service: str) -> list[str]:
    """What root noted of what the running one loaded, where it is of its present start."""
    invocation = host.check_output(f"systemctl show --property=InvocationID --value {service}")
    first, *digests = host.run(f"cat /run/fortyninety/{service}.loaded").stdout.split() or [""]
    return digests if first == invocation else []


def on_disk(host: Host, folder: str) -> list[str]:
    """The same of what is on disk: the configuration, all certificates, the keys."""
    shown = host.check_output(f"cd {folder} && sha256sum *").splitlines()
    digests = {line.split()[1]: line.split()[0] for line in shown}
    own = [digests[name] for name in CERTIFICATES if name in digests]
    together = own[0] if len(own) == 1 else hashlib.sha256(" ".join(own).encode()).hexdigest()
    return [digests.get("haproxy.cfg", ""), together, digests.get("keys.map", NOTHING)]


def others_files(host: Host, folder: str) -> list[str]:
    """Those of the files that others than root and the gateway's account may read."""
    shown = host.check_output(f"stat --format='%a %U:%G %n' {folder}/*")
    return [line for line in shown.splitlines() if not re.match("6?[046]0 root:fortyn", line)]


def ends_soon(host: Host, path: str) -> str | None:
    """When a certificate ends, if that is soon."""
    text = host.check_output(f"sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' {path}")
    end = x509.load_pem_x509_certificates(text.encode())[0].not_valid_after_utc
    return f"{end:%Y-%m-%d}" if end - datetime.now(UTC) < LEAST_LEFT else None
