"""Estimate how long a first deploy takes. Computed: no deploy to a real RTX 4090 was timed.

Each figure is rather too large: what is fetched is counted as large as what it is unpacked to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Measured on a lab host of two cores with everything cached: docs/deploy.md, "What it takes".
STAGES_SECONDS = 201
# Of that lab host's the engine's start took 23.5 s. The first of 0.32.0 on cards took 178 s besides
# reading weights: the parts are in docs/engines.md, "How long does a start take?".
FIRST_START_SECONDS = 178 - 23
# On disk: the toolkit of CUDA 12.4 (docs/deploy.md), an environment of the largest engine and of
# that for the CPU (docs/engines.md).
CUDA_BYTES = 5_000_000_000
ENGINE_BYTES = 9_400_000_000
CPU_ENGINE_BYTES = 2_400_000_000
# The slower end of NVMe disks: the checkpoint is written, hashed and loaded at it.
DISK_BYTES_A_SECOND = 1_000_000_000
PASSES = 3
# 1 Gbit/s without the network's own share.
GIGABIT_BYTES_A_SECOND = 119_000_000


@dataclass(frozen=True)
class Fetched:
    """What one host of a run has to fetch: packages for itself, and its model.

    `start_seconds` is what its engine's first start takes besides.
    """

    package_bytes: int
    model: str
    model_bytes: int
    start_seconds: int = 0


def package_bytes(device: str) -> int:
    """What a host fetches besides the model, for an engine that computes on `device`."""
    return CPU_ENGINE_BYTES if device == "cpu" else CUDA_BYTES + ENGINE_BYTES


def start_seconds(device: str) -> int:
    """What the first start of an engine takes longer than a lab host's, besides its weights."""
    return 0 if device == "cpu" else FIRST_START_SECONDS


def first_deploy_minutes(hosts: list[Fetched], gigabits: float, *, handed_on: bool) -> int:
    """Minutes for hosts that share a line of `gigabits` per second to the internet.

    Where the model is `handed_on`, the line carries it once, and the hosts pass it on to each other
    by 1 Gbit/s. Rounded up to 5 minutes.
    """
    models = {host.model: host.model_bytes for host in hosts}
    everyones = sum(host.model_bytes for host in hosts)
    largest = max((host.model_bytes for host in hosts), default=0)
    over_line = sum(host.package_bytes for host in hosts)
    over_line += sum(models.values()) if handed_on else everyones
    seconds = STAGES_SECONDS + over_line / (gigabits * GIGABIT_BYTES_A_SECOND)
    if handed_on and everyones > sum(models.values()):
        seconds += largest / GIGABIT_BYTES_A_SECOND
    seconds += PASSES * largest / DISK_BYTES_A_SECOND
    seconds += max((host.start_seconds for host in hosts), default=0)
    return math.ceil(seconds / 300) * 5
