"""Print the part of docs/alerts.md that is made of the alerts themselves.

python -m tests.unit.monitoring.alerts_page
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from tests.unit.monitoring.promtool import rules

HEADINGS = {"engine.yaml": "The engine", "cards.yaml": "The cards", "box.yaml": "The box"}


def lines() -> Iterator[str]:
    """The lines of the page below its introduction."""
    for file, heading in HEADINGS.items():
        yield f"## {heading}"
        yield ""
        for alert in rules()[file]:
            yield from _section(alert)


def _section(alert: dict[str, Any]) -> Iterator[str]:
    said = alert["annotations"]
    lasts = f", after {alert['for']}" if "for" in alert else ""
    summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), said["summary"])
    summary = re.sub(r"\{\{ \$value[^}]*\}\}", "N", summary)
    yield f"### {alert['alert']}"
    yield f"{summary} ({alert['labels']['severity']}{lasts})."
    yield ""
    yield from textwrap.wrap(f"- Users: {said['users']}", 106, subsequent_indent="  ")
    yield from textwrap.wrap(f"- To do: {said['action']}", 106, subsequent_indent="  ")
    yield ""
    yield "```"
    yield from textwrap.wrap(alert["expr"], 106, break_long_words=False, break_on_hyphens=False)
    yield "```"
    yield ""


if __name__ == "__main__":
    print("\n".join(lines()).rstrip())
