"""Read what the processors did for lab hosts, from their control groups."""

from __future__ import annotations

from pathlib import Path

from lab import cgroups, hosts

# What the engine of a host burns is nobody's measurement here.
_ENGINE = "vllm.service"


def hosts_cpu() -> float:
    """The processor seconds of all lab hosts until now, without their engines'."""
    root = cgroups.unified_root() / cgroups.PARENT
    whole = [root / f"host-{host.name}" for host in hosts.hosts()]
    engines = [group for each in whole for group in each.rglob(_ENGINE)]
    return sum(map(_cpu, whole)) - sum(map(_cpu, engines))


def _cpu(group: Path) -> float:
    first = (group / "cpu.stat").read_text().splitlines()[0]
    return int(first.split()[1]) / 1e6
