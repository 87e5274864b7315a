"""Take out of a text what says whose boxes it is about, or opens them.

Two ways at once: what is known to be private (names of hosts and users, addresses, places) is
replaced wherever it stands, and so is whatever looks like an address, an identity or a secret.
What is taken out by mistake is only missed; so in doubt it is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# Ends of the names of hosts, and none of those of files and units.
_DOMAINS = (
    "com|net|org|edu|gov|mil|int|io|dev|ai|app|cloud|info|biz|lan|local|localdomain|home|internal|"
    "intranet|corp|private|example|test|invalid|arpa|at|au|be|br|ca|ch|cn|cz|de|dk|es|eu|fi|fr|it|"
    "jp|nl|no|pl|ru|se|uk|us"
)
_PATTERNS = (
    # Blocks and words of keys and tokens first: what is in them may look like something else.
    (r"-----BEGIN [A-Z0-9 ]{1,60}-----.*?(?:-----END [A-Z0-9 ]{1,60}-----|\Z)", "<key>"),
    (r"\b(?:ssh-[a-z0-9-]+|ecdsa-[a-z0-9-]+)\s+[A-Za-z0-9+/=]{16,}(?:[ \t]+\S+)?", "<key>"),
    (r"\bSHA256:[A-Za-z0-9+/=]{20,}", "<fingerprint>"),
    (r"\b(?:hf|sk|ghp|gho|github_pat|glpat|xox[a-z])[_-][A-Za-z0-9_-]{6,}", "<token>"),
    (r"(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9+/=._~-]{6,}", r"\1<token>"),
    (
        # But for the word of sudo's file.
        r"(?i)\b(?!NOPASSWD\b)"
        r"([a-z_]*(?:token|passw(?:or)?d|passphrase|secret|api_?key|credential)[a-z_]*"
        r"['\"]?\s*[=:]\s*)(?:\"[^\"\n]*\"|'[^'\n]*'|\S+)",
        r"\1<secret>",
    ),
    (r"(?i)\bGPU-[0-9a-f]{4,}(?:-[0-9a-f]+)*", "<card>"),
    (r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<identity>"),
    (r"(?i)\b((?:serial|s/n)[a-z ]{0,12}['\"]?\s*[=:#]?\s*)[A-Z0-9][A-Z0-9-]{5,}", r"\1<serial>"),
    (r"(?i)\b(?:[0-9a-f]{2}:){5,}[0-9a-f]{2}\b", "<address>"),
    (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+", "<user and host>"),
    # As this project quotes an account, and as sudo's own file has it.
    (r"\b(user )'(?!(?:root|vllm)')[^'\n]{1,64}'", r"\1'<user>'"),
    (r"[^\s'\"]{1,64}(?= ALL=\(ALL\))", "<user>"),
    (r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)]+", "<address>"),
    (
        r"(?<![\w.])(?!127\.0\.0\.1(?![\w.])|0\.0\.0\.0(?![\w.]))\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)",
        "<address>",
    ),
    (
        r"(?i)(?<![\w:.])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"
        r"|(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)?::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)?)(?![\w:])",
        "<address>",
    ),
    (rf"(?i)(?<![\w./-])(?:[a-z0-9-]{{1,63}}\.)+(?:{_DOMAINS})\b(?![\w-])", "<host>"),
    (r"(?<![\w/])/(?:home|Users)/[^/\s'\"]+", "/home/<user>"),
    (r"(?<![\w.<-])(?=[A-Za-z+/=_-]*[0-9])[A-Za-z0-9+/=_-]{32,}", "<long value>"),
)
_COMPILED = tuple((re.compile(pattern, re.DOTALL), instead) for pattern, instead in _PATTERNS)
# Characters of a text that are looked at, and so shown: more of what a host says takes patterns
# minutes.
LONGEST = 4000
# Stands for a public text while the patterns are at work; no text of a report has it.
_MARK = "\N{SYMBOL FOR SUBSTITUTE}"


class Redactor:
    """What is taken out of the texts of one report.

    `names` maps a private text to what stands for it; `public` texts stay, such as the commit of a
    public model. Both are looked for as whole words, and longer ones first.
    """

    def __init__(self, names: Mapping[str, str], public: Iterable[str] = ()) -> None:
        self._names = {private.lower(): instead for private, instead in names.items() if private}
        self._public = list(dict.fromkeys(each for each in public if each not in names))
        self._find_names = _words(names, re.IGNORECASE)
        self._find_public = _words(self._public)

    def __call__(self, text: str) -> str:
        """The text without them, and without what comes after LONGEST characters."""
        shown = _beginning(text).replace(_MARK, "?")
        if self._find_names is not None:
            shown = self._find_names.sub(lambda found: self._names[found[0].lower()], shown)
        kept: list[str] = []

        def keep(found: re.Match[str]) -> str:
            kept.append(found[0])
            return f"{_MARK}{len(kept) - 1}{_MARK}"

        if self._find_public is not None:
            shown = self._find_public.sub(keep, shown)
        for pattern, instead in _COMPILED:
            shown = pattern.sub(instead, shown)
        return re.sub(f"{_MARK}(\\d+){_MARK}", lambda found: kept[int(found[1])], shown)


def _beginning(text: str) -> str:
    """The text up to the last whole word that has room: half a secret looks like none."""
    if len(text) <= LONGEST:
        return text
    whole = re.match(r".*\s", text[:LONGEST], re.DOTALL)
    return f"{whole[0] if whole else ''}..."


def _words(texts: Iterable[str], flags: int = 0) -> re.Pattern[str] | None:
    """A pattern for any of the texts, not within a longer word."""
    longest_first = sorted({text for text in texts if text}, key=len, reverse=True)
    if not longest_first:
        return None
    either = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)", flags)
