"""`fortyninety models`: every named model, and what fits the cards, within 80 columns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fortyninety.cli import main
from fortyninety.model.reader import known_weights
from fortyninety.settings.named_models import named_models


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments])


def answers(*arguments: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(run(*arguments, "--json").stdout)["result"]["models"]
    return {row["name"]: row for row in rows}


def test_every_model_is_listed_with_its_licence_and_whether_it_is_gated() -> None:
    lines = run().stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(named_models())
    assert [line.split()[0] for line in lines if line.endswith("gated")] == ["llama-3.1-8b"]
    assert "llama-3.3-70b-awq      39.8  awq 4-bit  Llama 3.3 Community" in run().stdout


def test_json_has_what_a_deploy_would_serve() -> None:
    row = answers()["qwen2.5-32b-awq"]
    assert row["repository"] == "Qwen/Qwen2.5-32B-Instruct-AWQ"
    assert row["revision"] == "5c7cb76a268fc6cfbb9c4777eb24ba6e27f9ee6c"
    assert (row["quantization"], row["gated"], row["licence"]) == (
        "awq_marlin",
        False,
        "Apache-2.0",
    )


@pytest.mark.parametrize(
    "cards",
    [(), ("--cards", "2x4090"), ("--cards", "1x4090,1x4090", "--engine", "0.32.0")],
    ids=str,
)
def test_no_line_is_wider_than_a_terminal(cards: tuple[str, ...]) -> None:
    assert all(len(line) <= 80 for line in run(*cards).stdout.splitlines())


def test_what_fits_is_what_fit_says() -> None:
    rows = answers("--cards", "1x4090")
    for name in ("qwen2.5-32b-awq", "llama-3.1-70b-awq"):
        ran = CliRunner().invoke(main, ["fit", "--cards", "1x4090", "--model", name, "--json"])
        own = json.loads(ran.stdout)["result"]
        assert rows[name]["fits"] is own["fits"]
        if own["fits"]:
            assert rows[name]["kv_tokens"] == own["kv_tokens"]
        else:
            assert rows[name]["reason"] == own["reasons"][0]


def test_a_change_of_flags_after_which_it_fits_is_named() -> None:
    ran = run("--cards", "2x4090", "--engine", "0.32.0")
    assert "✓ a" in ran.stdout
    assert "a: with gpu_memory_utilization 0.94 instead of 0.95" in ran.stdout
    row = answers("--cards", "2x4090", "--engine", "0.32.0")["llama-3.1-70b-awq"]
    assert row["fits"] is True and row["change"].startswith("gpu_memory_utilization 0.94")


def test_the_ceiling_is_what_cards_read_over_what_a_token_reads() -> None:
    weights = known_weights("Qwen/Qwen2.5-7B-Instruct")
    assert weights is not None
    # All but one of the two tables of 152,064 rows of 3,584 numbers of 2 bytes.
    read = weights.total - 152064 * 3584 * 2
    one, two = (answers("--cards", cards)["qwen2.5-7b"] for cards in ("1x4090", "2x4090"))
    assert one["tokens_per_second_at_most"] == round(1008e9 / read, 1)
    assert two["tokens_per_second_at_most"] == round(2 * 1008e9 / read, 1)
    stages = answers("--cards", "1x4090,1x4090", "--engine", "0.32.0")["qwen2.5-7b"]
    assert stages["tokens_per_second_at_most"] == one["tokens_per_second_at_most"]
    unknown = answers("--cards", "1x24564")["qwen2.5-7b"]
    assert unknown["tokens_per_second_at_most"] is None


def test_a_model_that_cannot_be_split_so_hides_no_other() -> None:
    rows = answers("--cards", "8x4090")
    assert rows["qwen2.5-7b"]["fits"] is False and "28" in rows["qwen2.5-7b"]["reason"]
    assert rows["llama-3.1-8b"]["fits"] is True


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 0),
        (("--cards", "1x4090"), 0),
        (("--cards", "1x7168"), 1),
        (("--cards", "0x4090"), 2),
        (("--cards", "3x4090"), 2),
        (("--cards", "1x4090,2x4090"), 2),
        (("--cards", "1x4090", "--engine", "newest"), 2),
        (("--cards", "1x4090", "--engine", "0.32.0-cpu"), 2),
        (("--cards", "1x4090", "--profile", "fast"), 2),
    ],
)
def test_the_exit_code_is_the_answer(arguments: tuple[str, ...], code: int) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert ("Error: " in result.stderr) is (code == 2)
