"""Asking the cards, by nvidia-smi alone."""

from __future__ import annotations

from testinfra.host import Host


def query(host: Host, *fields: str) -> list[dict[str, str]]:
    """The named fields of every card, as nvidia-smi prints them."""
    asked = host.run(f"nvidia-smi --query-gpu={','.join(fields)} --format=csv,noheader,nounits")
    assert asked.rc == 0, (
        f"nvidia-smi answers no question: {asked.stdout.strip()} {asked.stderr.strip()}; expected "
        "a driver in memory. Look at `dmesg | grep -i nvidia`; deploy again, or reboot the host"
    )
    return [
        dict(zip(fields, (value.strip() for value in line.split(",")), strict=True))
        for line in asked.stdout.splitlines()
    ]
