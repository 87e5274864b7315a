"""Read what the processors did for lab hosts, from their control groups."""

from __future__ import annotations

from pathlib import Path

from lab import cgroups, hosts

# What the engine of a host burns is counted apart. Not searched for: the groups of sessions beside
# it come and go.
_ENGINE = "boot-*/payload/system.slice/vllm.service"


def hosts_cpu() -> float:
    """The processor seconds of all lab hosts until now, without their engines'."""
    return sum(map(_cpu, _hosts())) - engines_cpu()


def engines_cpu() -> float:
    """The processor seconds of all lab hosts' engines until now."""
    return sum(_cpu(group) for each in _hosts() for group in each.glob(_ENGINE))


def _hosts() -> list[Path]:
    root = cgroups.unified_root() / cgroups.PARENT
    return [root / f"host-{host.name}" for host in hosts.hosts()]


def _cpu(group: Path) -> float:
    first = (group / "cpu.stat").read_text().splitlines()[0]
    return int(first.split()[1]) / 1e6
