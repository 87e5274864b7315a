# /// script
# requires-python = ">=3.11"
# dependencies = ["matplotlib"]
# ///
"""Draw the dashboards by what a Prometheus has: for docs/, where no Grafana is at hand.

    uv run bench/dashboard_pictures.py http://127.0.0.1:9090 docs --box gpu-box-1 --minutes 15

Asks each panel's own expressions, as Grafana would, and says which of them had no answer.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# From any folder: a script's own dependencies do not have the project among them.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import dates, pyplot

from fortyninety.monitoring.dashboards import DASHBOARDS, Dashboard, Panel

IN_A_ROW = 3
STEP = 15
PATIENCE = 60
MOST_NAMES = 8
# What a panel's unit makes of a value, and how it is called.
SHOWN = {
    "percentunit": (100.0, "%"),
    "bytes": (1 / 2**30, "GiB"),
    "hertz": (1e-6, "MHz"),
    "Bps": (1 / 1024, "KiB/s"),
    "tps": (1.0, "tokens/s"),
    "reqps": (1.0, "1/s"),
    "watt": (1.0, "W"),
    "celsius": (1.0, "°C"),
    "s": (1.0, "s"),
}


@dataclass(frozen=True)
class Source:
    """A Prometheus, the box that is chosen, and the time that is shown, in Unix seconds."""

    address: str
    box: str
    begin: float
    end: float

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """What it finds for an expression over the time."""
        asked = {
            "query": expression.replace("$box", self.box),
            "start": self.begin,
            "end": self.end,
            "step": STEP,
        }
        url = f"{self.address}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


def draw(dashboard: Dashboard, source: Source, note: str, path: Path) -> list[str]:
    """Write a dashboard's picture; the titles of the panels without an answer."""
    rows = -(-len(dashboard.panels) // IN_A_ROW)
    figure, axes = pyplot.subplots(
        rows, IN_A_ROW, figsize=(15, 2.4 * rows), squeeze=False, layout="constrained"
    )
    empty = []
    for place, axis in enumerate(axes.flat):
        if place >= len(dashboard.panels):
            axis.set_axis_off()
        elif not _draw_panel(axis, dashboard.panels[place], source):
            empty.append(dashboard.panels[place].title)
    own = f", {source.box}" if dashboard.of_a_box else ""
    figure.suptitle(f"{dashboard.title}{own}{note}", fontsize=11)
    figure.savefig(path, dpi=72)
    pyplot.close(figure)
    return empty


def _filled(legend: str, labels: dict[str, str]) -> str:
    """The name of a line, as Grafana fills it in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def _draw_panel(axis: Any, panel: Panel, source: Source) -> bool:
    factor, unit = SHOWN.get(panel.unit, (1.0, ""))
    lines = 0
    for expression, legend in panel.queries:
        for line in source.ask(expression):
            times = [datetime.fromtimestamp(float(at), UTC) for at, _ in line["values"]]
            values = [float(value) * factor for _, value in line["values"]]
            name = _filled(legend, line["metric"])
            axis.plot(times, values, label=name, linewidth=1.2)
            lines += 1
    axis.set_title(panel.title, fontsize=9)
    axis.set_ylabel(unit, fontsize=7)
    axis.tick_params(labelsize=6)
    axis.grid(alpha=0.3)
    axis.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axis.set_xlim(
        datetime.fromtimestamp(source.begin, UTC), datetime.fromtimestamp(source.end, UTC)
    )
    # Beyond both ends, so that a line at 0 is seen, and one that stays at its highest.
    highest = axis.get_ylim()[1]
    axis.set_ylim(bottom=-0.04 * highest, top=1.04 * highest)
    if lines:
        handles, names = axis.get_legend_handles_labels()
        axis.legend(handles[:MOST_NAMES], names[:MOST_NAMES], fontsize=6, loc="best", ncols=2)
    else:
        axis.text(0.5, 0.5, "no data", transform=axis.transAxes, ha="center", color="grey")
    return lines > 0


def main() -> None:
    """Write a picture of each dashboard into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prometheus", metavar="URL")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--box", required=True)
    parser.add_argument("--minutes", type=int, default=15)
    parser.add_argument("--note", default="", help="what stands beside the title")
    asked = parser.parse_args()
    end = time.time()
    source = Source(asked.prometheus.rstrip("/"), asked.box, end - 60 * asked.minutes, end)
    note = f" ({asked.note})" if asked.note else ""
    for dashboard in DASHBOARDS:
        path = asked.folder / f"dashboard-{dashboard.name}.png"
        empty = draw(dashboard, source, note, path)
        print(f"{path}: {', '.join(f'no data for {title!r}' for title in empty) or 'whole'}")


if __name__ == "__main__":
    main()
