"""Ask the host's own apt whether the archives that it is to fetch from answer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pyinfra.api.facts import FactBase

from fortyninety.text.printable import printable

# Seconds for an archive to answer one small file; a refusal comes at once.
TIMEOUT = 15
# A cache that several hosts ask for the same file at once may turn one of them away (seen).
RETRIES = 3
# Of apt's reason.
MOST_CHARACTERS = 600


class UnreachableArchives(FactBase[dict[str, str]]):
    """Of archives given as "<address> <suite>", those that do not answer, with what apt says.

    The suite of a repository without suites is "/", and its address ends with one.

    apt fetches as it would for an installation, through whatever proxy the host has set up, into a
    folder that is removed again.
    """

    _asked: Sequence[str] = ()

    def command(self, archives: Sequence[str], retries: int = RETRIES) -> str:
        """One line for each archive that does not answer: itself, a tab, apt's last word."""
        self._asked = archives
        return f"""
folder=$(mktemp -d)
# apt's own account reads from the network; where it cannot write, root does, and apt warns of it.
chown _apt "$folder"
for archive in {shlex.join(archives)}; do
  case $archive in
    *' /') index=${{archive% /}}InRelease ;;
    *) index=${{archive% *}}/dists/${{archive#* }}/InRelease ;;
  esac
  said=$(/usr/lib/apt/apt-helper -o Acquire::Retries={retries} \\
    -o Acquire::http::Timeout={TIMEOUT} \\
    -o Acquire::https::Timeout={TIMEOUT} download-file \\
    "$index" "$folder/InRelease" 2>&1) && continue
  printf '%s\\t%s\\n' "$archive" "$(printf '%s' "$said" | tail -n 3 | tr '\\n' ' ')"
done
rm -rf "$folder"
exit 0
"""

    @staticmethod
    def default() -> dict[str, str]:
        """Where every archive answers."""
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        """Each archive that does not answer, and why."""
        found = {}
        for line in output:
            archive, _, reason = line.partition("\t")
            if archive in self._asked:
                found[archive] = printable(reason.strip(), MOST_CHARACTERS)
        return found
