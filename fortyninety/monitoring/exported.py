"""The files that a Prometheus reads to watch a fleet, and a Grafana to show it."""

from __future__ import annotations

from collections.abc import Sequence

from fortyninety.checkout import MONITORING
from fortyninety.monitoring.dashboards import DASHBOARDS, dashboard_text
from fortyninety.monitoring.watched import Itself, WatchedBox, targets_text, wanted_text
from fortyninety.templates import render

# The pages that alerts name are in the project's own folder, where nothing else is said.
PAGES_OF_ALERTS = "page: docs/"
# What Prometheus shows of itself, and believes the boxes by.
IDENTITY = "monitor.pem"
AUTHORITY = "authority.pem"


def exported_files(
    boxes: Sequence[WatchedBox], pages: str = "docs/", known_until: int | None = None
) -> dict[str, str]:
    """The text of each file by its path below the folder; `pages` is where docs/ is found.

    `known_until` is when the certificate ends that boxes know this Prometheus by.
    """
    return {
        "prometheus.yml": render(
            "prometheus.yml.j2",
            rules=["*.yaml"],
            alertmanager=None,
            authority=AUTHORITY,
            identity=IDENTITY,
        ),
        **_watching(boxes, pages, known_until=known_until),
        **{f"dashboards/{each.name}.json": dashboard_text(each) for each in DASHBOARDS},
    }


def monitor_files(
    boxes: Sequence[WatchedBox],
    *,
    rules: Sequence[str],
    alertmanager: str,
    webhook: str | None,
    authority: str,
    identity: str,
    itself: Itself | None = None,
) -> dict[str, str]:
    """The same for a monitor of this project's, with what its Alertmanager reads.

    `rules` are the names of the files of rules, `alertmanager` is where it listens, `webhook` a
    file with the URL that it posts to, and `authority` and `identity` are full paths. `itself` is
    the monitor, where it says how it is and none of the boxes does so for it.
    """
    return {
        "prometheus.yml": render(
            "prometheus.yml.j2",
            rules=rules,
            alertmanager=alertmanager,
            authority=authority,
            identity=identity,
        ),
        "alertmanager.yml": render("alertmanager.yml.j2", webhook=webhook),
        **_watching(boxes, "docs/", itself),
    }


def _watching(
    boxes: Sequence[WatchedBox],
    pages: str,
    itself: Itself | None = None,
    known_until: int | None = None,
) -> dict[str, str]:
    """Targets and rules."""
    rules = {path.name: path.read_text() for path in sorted((MONITORING / "rules").glob("*.yaml"))}
    return {
        "targets.json": targets_text(boxes, itself),
        "rules/wanted.yaml": wanted_text(boxes, known_until),
        **{
            f"rules/{name}": text.replace(PAGES_OF_ALERTS, f"page: {pages}")
            for name, text in rules.items()
        },
    }
