"""Make the lab's SSH keys, and run commands on its hosts with them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab import paths
from lab.commands import run


def key_file() -> Path:
    """The private key every host of this lab accepts."""
    return paths.state_directory() / "ssh" / "id_ed25519"


def known_hosts_file() -> Path:
    """The host keys of this lab, written before a host first boots."""
    return paths.state_directory() / "ssh" / "known_hosts"


def ensure_key() -> None:
    """Make the lab's key pair unless there is one."""
    make_key(key_file(), comment="fortyninety-lab")


def make_key(path: Path, *, comment: str) -> None:
    """Make an ed25519 key pair without passphrase at PATH and PATH.pub, unless both are there."""
    public = path.with_suffix(".pub")
    if path.exists() and public.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def write_known_hosts(host_keys: dict[str, str]) -> None:
    """Write known_hosts from address to public key line."""
    lines = []
    for address, public_key in sorted(host_keys.items()):
        kind, key = public_key.split()[:2]
        lines.append(f"{address} {kind} {key}\n")
    file = known_hosts_file()
    unfinished = file.with_suffix(".new")
    unfinished.write_text("".join(lines))
    unfinished.rename(file)


def command_line(address: str, remote: Sequence[str] = (), *, terminal: bool = False) -> list[str]:
    """The ssh command for a host; no user's own ssh configuration, agent or password takes part."""
    return [
        "ssh",
        "-F",
        "/dev/null",
        "-i",
        str(key_file()),
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "IdentityAgent=none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        f"UserKnownHostsFile={known_hosts_file()}",
        "-o",
        "ConnectTimeout=5",
        "-o",
        "LogLevel=ERROR",
        *(["-t"] if terminal else []),
        f"root@{address}",
        *(["--", *remote] if remote else []),
    ]


def execute(
    address: str, command: str, *, input_text: str | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a shell command as root on the host at ADDRESS; the caller judges the exit code.

    255 is ssh's own failure. TIMEOUT in seconds raises subprocess.TimeoutExpired.
    """
    return subprocess.run(
        command_line(address, [command]),
        input=input_text,
        stdin=subprocess.DEVNULL if input_text is None else None,
        text=True,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
