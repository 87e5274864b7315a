"""Ask a front for its addresses, and who on its links has the one that it is to share."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from pyinfra.api.facts import FactBase

# Whoever has an address answers at once; a kernel that hears nothing asks thrice, a second each.
TRIES = 15
PAUSE = 0.2


class Neighbourhood(FactBase[list[str]]):
    """The lines that gateway/surroundings.py reads.

    Any packet has the kernel ask who has its address; bash sends one, and nothing is installed.
    What the kernel remembers of the shared address is forgotten first: it may have moved.
    """

    def command(self, shared: str, peers: Sequence[str]) -> str:
        """The host's addresses, its links' own, and its neighbours' at `shared` and `peers`."""
        return f"""
ip -o link show | sed -n 's/.* link\\/ether \\([0-9a-f:]\\{{17\\}}\\) .*/link \\1/p'
ip -o address show |
  awk '$2 ~ /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/ && $4 ~ "/" {{ print "own", $2, $4 }}'
shared={shlex.quote(shared)}
interface=$(ip route get "$shared" 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n 1)
[ -z "$interface" ] || [ "$interface" = lo ] ||
  ip neighbour delete "$shared" dev "$interface" 2>/dev/null
for address in "$shared" {shlex.join(peers)}; do
  (
    timeout 1 bash -c 'echo >"/dev/udp/$1/9"' - "$address" 2>/dev/null
    for _ in $(seq {TRIES}); do
      said=$(ip neighbour show to "$address" | sed -n 's/.* lladdr \\([0-9a-f:]*\\).*/\\1/p' |
        head -n 1)
      [ -z "$said" ] || {{ echo "neighbour $address $said"; break; }}
      case $(ip route get "$address" 2>/dev/null) in local*) break ;; esac
      sleep {PAUSE}
    done
  ) &
done
wait
exit 0
"""

    def process(self, output: Iterable[str]) -> list[str]:
        """As printed: what is believed of it is for the reader to say."""
        return list(output)
