"""`fortyninety fit`: exit codes, JSON, and a report that fits a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fortyninety.checkout import ROOT
from fortyninety.cli import main
from fortyninety.fit.report import PARTS
from lab.tiny_model import AWQ, write_repository
from tests.unit.fleet.imagined_fleet import run_over


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["fit", *arguments])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--cards", "2x24564"), 0),
        (("--cards", "1x24564"), 1),
        (("--cards", "1x24564,1x24564", "--engine", "0.32.0"), 1),
        (
            (
                *("--cards", "1x24564,1x24564", "--engine", "0.32.0"),
                *("--gpu-memory-utilization", "0.93"),
            ),
            0,
        ),
        (("--cards", "1x24564", "--model", "qwen2.5-32b-awq"), 0),
        (("--cards", "1x24564", "--model", "qwen2.5-72b-awq"), 1),
        (("--cards", "1x24564", "--model", "qwen2.5-72b"), 2),
        (("--cards", "0x24564"), 2),
        (("--cards", "1x24564,1x16376"), 2),
        (("--cards", "2x24564", "--engine", "newest"), 2),
        (("--cards", "2x24564", "--engine", "0.32.0-cpu"), 2),
        (("--cards", "2x24564", "--model", "/nowhere"), 2),
        (("--cards", "2x24564", "--max-model-len", "1000000"), 2),
        # What a deploy cannot be told: beyond its settings' bounds, or stages within a box.
        (("--cards", "8x97887", "--max-model-len", "131073"), 2),
        (("--cards", "2x24564", "--gpu-memory-utilization", "0.985"), 2),
        (("--cards", "2x24564", "--pipeline-parallel-size", "2"), 2),
        ((), 2),
        (("inventory/prod.py", "--cards", "2x24564"), 2),
    ],
)
def test_the_exit_code_is_the_answer(arguments: tuple[str, ...], code: int) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    if code == 2:
        assert "Error: " in result.stderr
        assert "Traceback" not in result.output


def test_json_has_every_figure_that_the_table_has() -> None:
    values = json.loads(run("--cards", "1x24564", "--json").stdout)["result"]
    assert values["fits"] is False
    assert values["kv_tokens"] == 0
    assert values["concurrency"] == 0
    assert values["reasons"]
    (card,) = values["cards"]
    assert card["weights_bytes"] > 39_767_785_472
    for key in ("overhead_bytes", "kv_bytes", "free_bytes"):
        assert isinstance(card[key], int)
    assert all(each["change"] and each["price"] for each in values["alternatives"])


def test_an_error_is_json_too_where_json_was_asked_for() -> None:
    page = json.loads(run("--cards", "two", "--json").stdout)
    (problem,) = page["problems"]
    assert "expected COUNTxMIB" in problem["message"]
    assert (page["command"], page["exit_code"], page["result"]) == ("fit", 2, None)


@pytest.mark.parametrize("cards", ["1x24564", "2x24564", "4x24564", "1x24564,1x24564"])
def test_the_report_is_at_most_eighty_columns_and_without_colour_where_nobody_looks(
    cards: str,
) -> None:
    report = run("--cards", cards).stdout
    assert max(len(line.rstrip()) for line in report.splitlines()) <= 80
    assert "\x1b" not in report


def test_every_card_has_a_bar_whose_parts_have_their_share() -> None:
    report = run("--cards", "2x24564").stdout
    bars = [line for line in report.splitlines() if line.startswith("  card ")]
    assert len(bars) == 2
    (_, weights, _), (_, overhead, _), (_, kv, _), _ = PARTS
    assert 40 <= bars[0].count(weights) <= 44
    assert bars[0].count(overhead) >= 5
    assert bars[0].count(kv) >= 2


def test_a_bar_of_what_does_not_fit_shows_where_the_card_ends() -> None:
    (bar,) = (line for line in run("--cards", "1x24564").stdout.splitlines() if "card 0" in line)
    before, _, after = bar.partition("┃")
    assert "█" in before
    assert "█" in after


def test_a_folder_with_config_json_alone_is_a_model(tmp_path: Path) -> None:
    folder = write_repository(tmp_path, AWQ)
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    result = run("--cards", "1x24564", "--model", str(folder), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["result"]["checkpoint_source"] == "computed from config.json"


def test_help_has_examples() -> None:
    assert "fortyninety fit --cards 2x4090 --profile balanced" in run("--help").output


INVENTORY = """
boxes = [
    ("one", {"ssh_hostname": "127.0.0.1", "ssh_port": 1, "gpu_count": 1}),
    ("two", {"ssh_hostname": "127.0.0.1", "ssh_port": 1, "gpu_count": 2, "profile": "burst"}),
]
"""


def fleet(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: pyinfra_cli patches the standard library of its process."""
    return subprocess.run(
        [sys.executable, "-m", "fortyninety", "fit", str(inventory), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_hosts_that_do_not_answer_are_computed_from_their_settings(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.py"
    inventory.write_text(INVENTORY)
    result = fleet(inventory, "--json")
    assert result.returncode == 1, result.stderr
    one, two = json.loads(result.stdout)["result"]["hosts"]
    assert (one["host"], one["fits"], two["host"], two["fits"]) == ("one", False, "two", True)
    assert two["max_model_len"] == 8192
    assert "one was not reached; 1 card assumed: 24564 MiB a card" in one["remarks"][0]
    assert "Traceback" not in result.stderr
    alone = fleet(inventory, "--limit", "two", "--profile", "balanced", "--json")
    assert alone.returncode == 0, alone.stderr
    (values,) = json.loads(alone.stdout)["result"]["hosts"]
    assert values["max_model_len"] == 16384


def test_a_host_whose_sudo_asks_for_a_password_is_computed_from_its_settings(
    tmp_path: Path,
) -> None:
    """pyinfra would ask for the password on the terminal, in the middle of it."""
    lines = [
        *("fortyninety asks", "user 1000 admin", "sudo refused sudo: a password is required"),
        *("python3 3.11.2", "clock NOW"),
    ]
    refused = [("fortyninety asks", lines, True)]
    data = {"_sudo": True, "gpu_count": 2, "profile": "burst"}
    ran = run_over(tmp_path, "fit", {"box": refused}, "--json", data=data)
    assert ran.returncode == 0, ran.stderr
    (host,) = json.loads(ran.stdout)["result"]["hosts"]
    assert host["remarks"] == [
        "@fake/box was not read (sudo of user 'admin': refused (sudo: a password is required)); "
        "2 cards assumed: 24564 MiB a card, as every NVIDIA GeForce RTX 4090 has"
    ]
    asked = (tmp_path / "answers.json.commands").read_text().splitlines()
    assert len(asked) == 1, asked


def test_an_inventory_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = fleet(tmp_path / "nobody.py")
    assert result.returncode == 2
    assert f"Error: there is no inventory file {tmp_path / 'nobody.py'}" in result.stderr


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ('"gpu_model": "NVIDIA GeForce RTX 2080 Ti"', "'NVIDIA GeForce RTX 2080 Ti'"),
        ('"tensor_parallel_size": 2', "not computable (tensor_parallel_size is 2; expected at"),
    ],
)
def test_a_host_without_an_answer_hides_none_of_the_others(
    settings: str, found: str, tmp_path: Path
) -> None:
    inventory = tmp_path / "inventory.py"
    inventory.write_text(INVENTORY.replace('"gpu_count": 1', f'"gpu_count": 1, {settings}'))
    result = fleet(inventory, "--json")
    assert result.returncode == 2, result.stderr
    page = json.loads(result.stdout)
    assert [host["host"] for host in page["result"]["hosts"]] == ["two"]
    (problem,) = page["problems"]
    assert problem["host"] == "one"
    assert problem["found"].startswith(found)


def test_settings_that_are_wrong_are_all_said_beside_the_answers(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.py"
    inventory.write_text(INVENTORY.replace('"gpu_count": 1', '"gpu_count": 0, "prot": 1'))
    result = fleet(inventory)
    assert result.returncode == 2
    assert "gpu_count is 0" in result.stderr
    assert "prot is 1" in result.stderr
    assert "two" in result.stdout
    assert "Fits: " in result.stdout
