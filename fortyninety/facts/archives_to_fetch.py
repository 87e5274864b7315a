"""Read whether apt would fetch anything for what it is asked to install."""

from __future__ import annotations

from pyinfra.api.facts import FactBase


class ArchivesToFetch(FactBase[bool]):
    """Whether a package's archive is still to be fetched for a transaction."""

    def command(self, words: str) -> str:
        """Always succeeds; `words` are options and packages of apt-get's install, quoted."""
        ask = f"LC_ALL=C apt-get -qq --print-uris -o Debug::NoLocking=1 install {words}"
        return (
            f"if said=$({ask} </dev/null 2>/dev/null); "
            'then printf \'%s\\n\' "$said" | grep -c "^\'" || true; else echo unknown; fi'
        )

    @staticmethod
    def default() -> bool:
        """Whoever says nothing has it all before them."""
        return True

    def process(self, output: list[str]) -> bool:
        """Anything but a count of nothing, also where apt could not say."""
        return output[-1:] != ["0"]
