"""Rank what is done in the background behind what serves on a host."""

BEHIND = "nice -n 10 ionice -c 2 -n 7"
"""What a command line begins with whose program takes processors and disks that others leave."""
