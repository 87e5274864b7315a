"""Show a line of an engine's log without what people asked and were answered.

No engine of this project logs requests; one whose `engine_arguments` ask for it does, and some dump
what they were doing as they die.
"""

from __future__ import annotations

import re

from fortyninety.text.printable import printable

# Characters of a line that are shown.
LONGEST = 4000
_LEFT_OUT = "<left out>"
# A name that holds what was said, and all that follows it to the end of the line: a text may hold
# every sign that would end it.
_SAID = re.compile(
    r"(?i)(?P<before>\b(?:prompt|prompts|prompt_token_ids|prompt_embeds|messages|content|input|"
    r"inputs|input_ids|text|outputs?|output_text|token_ids|generated_text|reasoning(?:_content)?|"
    r"arguments|query|documents?)['\"]?\s*(?::|=)\s*)(?=['\"\[{(bBuU]).*",
    re.DOTALL,
)
# The beginnings of messages that are a prompt to their end.
_REQUEST = re.compile(
    r"(?P<before>(?:Received request|Generated response|Request) [^\s:]{1,200}:).*", re.DOTALL
)


# As uvicorn writes that a monitor, a gateway or `fortyninety status` asked, and was answered.
_PROBE = re.compile(r'"GET /(?:metrics|health|ping|v1/models) HTTP/1\.[01]" 200')


def is_probe(line: str) -> bool:
    """Whether the line says that somebody asked whether the engine lives, and it does."""
    return _PROBE.search(line) is not None


def shown_line(line: str) -> str:
    """The line, fit for a terminal; what people said in it is left out."""
    found = _REQUEST.search(line) or _SAID.search(line)
    if found is not None:
        line = f"{line[: found.start()]}{found['before'].rstrip()} {_LEFT_OUT}"
    return printable(line, LONGEST)
