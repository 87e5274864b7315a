"""What is written for a Prometheus: promtool takes it, and it has the inventory's targets."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fortyninety.gateway.authority import ends_at
from fortyninety.monitoring.exported import exported_files
from fortyninety.monitoring.watched import OF_A_FRONT, WatchedBox
from tests.unit.cli.run_lines import Ended, run_lines
from tests.unit.monitoring.promtool import PROMTOOL, needs_promtool

SHOWN = "{**base, 'ssh_hostname': '192.0.2.1'}"
FLEET = f"""
base = {{"signals": True, "signals_port": 9491, "gateway": True}}
boxes = [
    ("box-1", {SHOWN}),
    ("box-2", {{**base, "ssh_hostname": "2001:db8::2", "engine": "0.32.0"}}),
    ("quiet", {{"ssh_hostname": "192.0.2.3"}}),
    ("own", {{**base, "ssh_hostname": "192.0.2.4", "gateway_certificate": "/tmp/own.pem"}}),
]
"""
BOX = WatchedBox("box-1", "192.0.2.1", 9491, "0.32.0", "f" * 40)


def export(folder: Path, *more: str, fleet: str = FLEET) -> tuple[Ended, Path]:
    """How an export to folder/out ended."""
    inventory = folder / "fleet.py"
    inventory.write_text(fleet)
    line = ("monitoring", "export", str(folder / "out"), str(inventory), *more)
    return run_lines([line], folder)[0], folder / "out"


def jobs(targets: Sequence[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (each["targets"][0], each["labels"]["box"], each["labels"]["__metrics_path__"])
        for each in targets
    }


@needs_promtool
def test_a_prometheus_takes_what_is_written(tmp_path: Path) -> None:
    ended, out = export(tmp_path, "--limit", "box-*")
    assert ended.exit_code == 0, ended.stderr
    assert PROMTOOL is not None
    checked = subprocess.run(
        [PROMTOOL, "check", "config", str(out / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count("rules found") == 5


def test_boxes_that_cannot_be_watched_are_named(tmp_path: Path) -> None:
    ended, out = export(tmp_path, "--json")
    page = json.loads(ended.stdout)
    assert (ended.exit_code, page["exit_code"]) == (1, 1)
    assert [each["host"] for each in page["problems"]] == ["quiet", "own"]
    assert sorted(page["result"]["files"]) == sorted(
        str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()
    )
    found = jobs(json.loads((out / "targets.json").read_text()))
    assert found == {
        (target, box, page)
        for target, box in (("192.0.2.1:9491", "box-1"), ("[2001:db8::2]:9491", "box-2"))
        for page in ("/node", "/engine", "/gateway")
    }


def test_a_front_that_nobody_watches_is_named_as_a_box_is(tmp_path: Path) -> None:
    front = "fronts = [('front-1', {'ssh_hostname': '192.0.2.9', 'roles': ['gateway']})]"
    (tmp_path / "fleet.py").write_text(FLEET + front)
    line = ("monitoring", "export", str(tmp_path / "out"), str(tmp_path / "fleet.py"))
    boxes = ("--limit", "box-*")
    # Who wants it so leaves it out.
    named, left_out = run_lines([(*line, *boxes, "--limit", "fronts"), (*line, *boxes)], tmp_path)
    assert named.exit_code == 1
    assert named.stderr.startswith("front-1: a page for the monitor is not there"), named.stderr
    assert (left_out.exit_code, left_out.stderr) == (0, "")


def test_nothing_is_written_where_nobody_can_be_watched(tmp_path: Path) -> None:
    ended, out = export(tmp_path, "--limit", "quiet")
    assert ended.exit_code == 2
    assert "signals_port" in ended.stderr
    assert not out.exists()


def test_the_certificate_is_for_its_owner_and_stays_while_it_lasts(tmp_path: Path) -> None:
    export(tmp_path)
    identity = tmp_path / "out" / "monitor.pem"
    before = identity.read_text()
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    export(tmp_path)
    assert identity.read_text() == before
    identity.write_text(before[:200])
    export(tmp_path)
    assert "PRIVATE KEY" in identity.read_text()
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600


def test_dashboards_are_among_it() -> None:
    names = {name for name in exported_files([BOX]) if name.startswith("dashboards/")}
    assert names == {"dashboards/fleet.json", "dashboards/box.json", "dashboards/tenants.json"}


def test_what_a_box_is_to_serve_is_a_rule() -> None:
    page = yaml.safe_load(exported_files([BOX])["rules/wanted.yaml"])
    (rule,) = page["groups"][0]["rules"]
    assert rule["labels"] == {"box": "box-1", "release": "0.32.0", "snapshot": "f" * 40}


def test_the_end_of_the_monitors_certificate_is_a_rule(tmp_path: Path) -> None:
    _, out = export(tmp_path)
    until = ends_at((out / "monitor.pem").read_text())
    rules = yaml.safe_load((out / "rules" / "wanted.yaml").read_text())["groups"][0]["rules"]
    assert rules[-1] == {
        "record": "fortyninety_certificate_expiry_timestamp_seconds",
        "expr": f"vector({until})",
        "labels": {"box": "monitor", "certificate": "monitor"},
    }
    # As it stays, so does its rule.
    before = (out / "rules" / "wanted.yaml").read_text()
    export(tmp_path)
    assert (out / "rules" / "wanted.yaml").read_text() == before


def test_a_front_is_a_target_and_is_to_serve_nothing_by_itself() -> None:
    front = WatchedBox("front-1", "192.0.2.9", 9491, "", "", OF_A_FRONT)
    files = exported_files([BOX, front])
    found = {each for each in jobs(json.loads(files["targets.json"])) if each[1] == "front-1"}
    assert found == {("192.0.2.9:9491", "front-1", page) for page in ("/node", "/front")}
    (rule,) = yaml.safe_load(files["rules/wanted.yaml"])["groups"][0]["rules"]
    assert rule["labels"]["box"] == "box-1"


def test_links_are_whole_where_the_pages_are_named(tmp_path: Path) -> None:
    _, out = export(tmp_path, "--pages", "https://git.example/docs/")
    text = (out / "rules" / "engine.yaml").read_text()
    assert "page: https://git.example/docs/alerts.md#kvcachefull\n" in text
    assert "page: docs/" not in text
    wrong = ("ftp://x/", "https://x/a b", "https://x/\nfoo: bar", "")
    lines = [("monitoring", "export", str(out), "fleet.py", "--pages", each) for each in wrong]
    assert [each.exit_code for each in run_lines(lines, tmp_path)] == [2] * len(wrong)
