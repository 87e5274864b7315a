"""All that a host is made of, to be compared with another one's."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lab.hosts import LabHost

# A line a thing: files with mode, owner and content, what an initramfs has in it, packages with
# their marks, units, accounts, rules. Not what the kernel makes, and not what is gone after a boot.
_SCRIPT = r"""
cd /
LC_ALL=C; export LC_ALL
listed='-path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp'
find . -xdev \( $listed \) -prune -o -type l -printf 'link %p to %l %m %u:%g\n' \
  -o ! -type f -printf 'folder %p %y %m %u:%g\n'
find . -xdev \( $listed \) -prune -o -type f -printf '%p\t%m %u:%g\n' | sort >/tmp/modes
cut -f 1 /tmp/modes | tr '\n' '\0' | xargs -0 sha256sum | cut -c 1-64 |
  paste /tmp/modes - | sed 's/^/file /; s/\t/ /g'
rm /tmp/modes
dpkg-query -W -f 'package ${Package} ${Version} ${Status}\n'
apt-mark showhold | sed 's/^/hold /'
apt-mark showauto | sed 's/^/auto /'
systemctl list-unit-files --no-legend --plain | grep -v ' transient ' | sed 's/^/unit file /'
for image in boot/initrd.img-*; do lsinitramfs "$image" | sed "s|^|in $image |"; done
getent passwd | sed 's/^/account /'
getent group | sed 's/^/group /'
! command -v nft >/dev/null || nft list ruleset | sed 's/^/rule /'
"""


def state_of(host: LabHost) -> set[str]:
    """Its lines."""
    return set(host.ssh(_SCRIPT, check=True).stdout.splitlines())


def differences(before: set[str], after: set[str], besides: Iterable[str]) -> list[str]:
    """What is only in one of the two, but for lines that match an expression of `besides`."""
    patterns = [re.compile(each) for each in besides]
    lines = [*(f"- {line}" for line in before - after), *(f"+ {line}" for line in after - before)]
    return sorted(
        line for line in lines if not any(pattern.search(line[2:]) for pattern in patterns)
    )
