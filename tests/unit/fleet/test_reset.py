"""What `fortyninety reset` says and asks, over imagined hosts; real ones are the lab's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.unit.fleet.imagined_fleet import Answers, run_over, survey

# In the command of the reset's own fact, and in no other.
REMAINS = "What of a deploy is on this host"

UNIT = "stat\t/etc/systemd/system/vllm.service\tregular file\t644\troot\troot"
ACTIVE = "unit\tId=vllm.service", "unit\tActiveState=active", "unit\t"


def reset(
    directory: Path, hosts: dict[str, Answers], *arguments: str
) -> subprocess.CompletedProcess[str]:
    limits = (word for name in hosts for word in ("--limit", f"@fake/{name}"))
    return run_over(directory, "reset", hosts, *limits, *arguments)


def deployed(*records: str) -> Answers:
    """A host whose note says that a deploy brought gcc."""
    lines = [
        *("begin", "noted\tyes", "package\tgcc", "account\tvllm\t990"),
        "dpkg\tgcc\tinstalled\tcpp\t",
        "model\t/srv/models\tm\tcurrent",
        *records,
        "end",
    ]
    return [(REMAINS, lines, True), *survey(UNIT, *ACTIVE)]


def test_what_goes_and_what_stays_is_said_and_nothing_is_done_without_the_name(
    tmp_path: Path,
) -> None:
    ran = reset(tmp_path, {"box1": deployed()})
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "vllm.service, which is active" in ran.stdout
    assert "  Remove packages and holds\n    gcc\n" in ran.stdout
    assert "/srv/models/m (current)" in ran.stdout
    assert "packages that were there before" in ran.stdout
    assert "Type @fake/box1 to go on" in ran.stderr
    assert "nothing was changed" in ran.stderr
    commands = (tmp_path / "answers.json.commands").read_text()
    assert "rm -rf" not in commands.replace('rm -rf \\"$answer\\"', "")
    assert "purge" not in commands


def test_nothing_is_done_without_the_lease(tmp_path: Path) -> None:
    ran = reset(tmp_path, {"box1": deployed()}, "--yes", "--json")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    (host,) = json.loads(ran.stdout)["result"]["hosts"]
    assert not host["done"]
    assert "lease" in host["error"]
    assert "purge" not in (tmp_path / "answers.json.commands").read_text()


def test_a_host_without_anything_of_a_deploy_is_done(tmp_path: Path) -> None:
    bare: Answers = [(REMAINS, ["begin", "noted\tno", "end"], True), *survey()]
    ran = reset(tmp_path, {"box1": bare}, "--yes")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "nothing of a deploy is there" in ran.stdout


def test_an_answer_of_another_form_refuses_all_hosts(tmp_path: Path) -> None:
    hosts = {"box1": deployed("there\trelative"), "box2": deployed()}
    ran = reset(tmp_path, hosts, "--yes", "--json")
    assert ran.returncode == 2, ran.stdout + ran.stderr
    page = json.loads(ran.stdout)
    assert [each["host"] for each in page["problems"]] == ["@fake/box1"]
    assert page["result"] is None


def test_json_without_yes_is_a_wrong_call(tmp_path: Path) -> None:
    ran = reset(tmp_path, {"box1": deployed()}, "--json")
    assert ran.returncode == 2
    assert "--yes" in json.loads(ran.stdout)["problems"][0]["message"]
