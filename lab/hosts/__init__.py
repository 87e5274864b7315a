"""Make, start, stop and remove lab hosts.

`up` and `down` are for the whole lab, and a `LabHost` is what one has of each host.
"""

from lab.hosts.host import LabHost, hosts
from lab.hosts.layers import DEFAULT_RELEASE
from lab.hosts.lifecycle import DEFAULT_CARDS, down, save, up

__all__ = ["DEFAULT_CARDS", "DEFAULT_RELEASE", "LabHost", "down", "hosts", "save", "up"]
