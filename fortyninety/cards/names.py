"""Know how much memory a card has by the name that people give it, for a question without a box."""

from __future__ import annotations

# MiB in all, as nvidia-smi prints them: claimed by owners in public listings, not measured here.
# A box is asked itself. The 4090 of 48 GB is a board that somebody refitted. All are of compute
# capability 8.9, for which the releases were read: others may lack a kernel, such as fp8 KV's.
MEMORY_BY_NAME = {
    "4090": 24564,
    "4090 D": 24564,
    "4090 48GB": 49140,
    "6000 Ada": 49140,
    "L40S": 46068,
}
