"""No panel of a dashboard is empty: a real Prometheus is filled with recorded pages and asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fortyninety.monitoring.dashboards import DASHBOARDS, Dashboard, dashboard_text
from tests.unit.monitoring.filled_prometheus import FilledPrometheus, needs_prometheus
from tests.unit.monitoring.recorded_series import RELEASES

# What a release does not export: its V0 engine of 0.8.5 has no share of its prefix cache either.
NOT_EXPORTED = {("0.8.5.post1", "Prompts from the cache")}


def written(dashboard: Dashboard) -> dict[str, Any]:
    page: dict[str, Any] = json.loads(dashboard_text(dashboard))
    return page


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledPrometheus]:
    """One with a box of each release, named for it."""
    filled = FilledPrometheus(tmp_path_factory.mktemp("filled"), {each: each for each in RELEASES})
    filled.start()
    yield filled
    filled.stop()


@needs_prometheus
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_every_panel_shows_something_of_every_release(
    dashboard: Dashboard, release: str, prometheus: FilledPrometheus
) -> None:
    empty = set()
    for panel in written(dashboard)["panels"]:
        for target in panel["targets"]:
            found = prometheus.ask(target["expr"].replace("$box", release))
            own = [each for each in found if each["metric"].get("box", release) == release]
            if not own:
                empty.add((release, panel["title"]))
    known = {each for each in NOT_EXPORTED if each[0] == release}
    assert empty == (known if dashboard.of_a_box else set())


@needs_prometheus
def test_a_panel_of_what_nobody_exports_is_empty(prometheus: FilledPrometheus) -> None:
    assert prometheus.ask("rate(vllm:num_preemptions[5m])") == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_panels_stand_side_by_side_and_ask_the_chosen_prometheus(dashboard: Dashboard) -> None:
    page = written(dashboard)
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in page["panels"]]
    assert len(set(places)) == len(places)
    assert len({each["id"] for each in page["panels"]}) == len(places)
    names = {each["name"] for each in page["templating"]["list"]}
    asked = {target["expr"] for each in page["panels"] for target in each["targets"]}
    assert ("box" in names) == all("$box" in each for each in asked)
    assert all(each["datasource"]["uid"] == "${source}" for each in page["panels"])
