"""Make text of a host or a hub fit for a terminal and for one line of a log.

Untrusted text may hold escape sequences, which repaint a terminal or type into it, carriage
returns, which hide the text before them, and marks of writing direction, which disguise a command.
"""

from __future__ import annotations

import re
import unicodedata

# Characters of a text that are shown by default.
LONGEST = 2000

# Control, format (writing direction, zero width), surrogate, private use, separators of lines and
# paragraphs. Unassigned characters are kept: a later Unicode may assign them.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_PLAIN = re.compile(r"[ -~]*")
# A colour or a weight, as this program's own messages have them around quoted text.
_STYLE = re.compile(r"(\x1b\[[0-9;]{0,20}m)")


def printable(text: str, longest: int = LONGEST, *, keep: str = "") -> str:
    """The text with every unprintable character escaped (as in "\\x1b"), and its end cut off.

    Characters of `keep` stay as they are: line ends where the text may have several lines.
    """
    shown = text if len(text) <= longest else f"{text[:longest]} ..."
    if _PLAIN.fullmatch(shown):
        return shown
    return "".join(character if character in keep else _shown(character) for character in shown)


def printable_message(text: str) -> str:
    """A message of this program, of one or several lines, with its own colours.

    Quoted text can at most change the colour.
    """
    # Every other part is a style.
    return "".join(
        part if index % 2 else printable(part, len(part), keep="\n\t")
        for index, part in enumerate(_STYLE.split(text))
    )


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
