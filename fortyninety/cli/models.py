"""List the models that have a name, and what fits the cards: `fortyninety models`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from fortyninety.cards.known import card_named, cards_by_name
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO
from fortyninety.cli.options import AS_JSON
from fortyninety.fit.alternatives import alternatives
from fortyninety.fit.errors import FitError
from fortyninety.fit.estimate import Fit, estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.report import WIDTH
from fortyninety.fit.shape import Shape, make_shape, parse_cards
from fortyninety.fit.speed import most_tokens_per_second
from fortyninety.fit.weights import Weights
from fortyninety.model.reader import known_weights
from fortyninety.releases.release import known_releases, load_release
from fortyninety.settings.defaults import default_setting
from fortyninety.settings.named_models import NamedModel, named_models
from fortyninety.settings.profiles import PROFILE_NAMES, PROFILES, ProfileName


@dataclass(frozen=True)
class Row:
    """A model, and whether it fits: as it is, or by `change`, for which `fit` is then.

    `reason` is why it does not, or why that cannot be said (not `computed`); `ceiling` is tokens a
    second for one reader.
    """

    model: NamedModel
    weights: Weights
    fit: Fit | None = None
    change: str | None = None
    reason: str | None = None
    ceiling: float | None = None
    computed: bool = True


@click.command("models")
@click.option(
    "--cards",
    metavar="SPEC",
    help="Mark what fits: COUNTxNAME or COUNTxMIB; a comma between boxes.",
)
@click.option("--profile", type=click.Choice(PROFILE_NAMES), help="Context and sequences by name.")
@click.option("--engine", metavar="RELEASE", help="The vLLM release, such as 0.32.0.")
@AS_JSON
def models(
    cards: str | None, profile: ProfileName | None, engine: str | None, as_json: bool
) -> None:
    """List the models that have a name, and mark which fit.

    The setting `model` takes the names. With --cards: how many tokens of KV cache are left, how
    many sequences of the profile's full length that is, and the most tokens per second that one
    reader can get (computed: what a card reads per second over what a token reads). No network is
    used.

    Ends with 0, with --cards 1 where none fits, 2 where the question cannot be answered.

    \b
    Examples:
      fortyninety models
      fortyninety models --cards 2x4090
      fortyninety models --cards 1x4090,1x4090 --engine 0.32.0
      fortyninety models --cards 1x4090 --json | jq '.result.models[] | select(.fits).name'
    """
    rows = [Row(each, _weights(each)) for each in named_models().values()]
    if cards is None:
        if as_json:
            print_envelope(DONE, {"models": [_values(row) for row in rows]})
        else:
            _print(_table(rows))
        return
    name: ProfileName = profile or default_setting("profile")
    release = default_setting("engine") if engine is None else engine
    try:
        if release in known_releases() and load_release(release).device == "cpu":
            raise FitError(f"engine {release} serves without cards; expected a release for GPUs")
        shape = make_shape(parse_cards(cards, cards_by_name()))
        flags = Flags(
            **vars(PROFILES[name]),
            kv_cache_dtype=default_setting("kv_cache_dtype"),
            gpu_memory_utilization=default_setting("gpu_memory_utilization"),
        )
    except FitError as error:
        raise NoAnswer(str(error)) from error
    rows = [_fitted(row, shape, release, flags) for row in rows]
    if not any(row.computed for row in rows):
        raise NoAnswer(str(rows[0].reason))
    code = DONE if any(row.fit for row in rows) else NO
    if as_json:
        values = [_values(row) | _fit_values(row) for row in rows]
        about = {"cards": cards, "engine": release, "profile": name}
        print_envelope(code, {**about, "models": values})
    else:
        length, sequences = f"{flags.max_model_len:,} tokens", flags.max_num_seqs
        _print_fits(rows, shape, f"engine {release}, profile {name}: {length} x {sequences}")
    sys.exit(code)


def _weights(model: NamedModel) -> Weights:
    weights = known_weights(model.repository, model.revision)
    assert weights is not None, f"checkpoints/ has no record of {model.repository}"
    return weights


def _fitted(row: Row, shape: Shape, release: str, flags: Flags) -> Row:
    """The row with its answer."""
    try:
        fit = estimate(row.weights, shape, release, flags)
    except FitError as error:
        return replace(row, reason=str(error), computed=False)
    change = None
    if not fit.fits:
        near = next((each for each in alternatives(fit) if each.fit.shape == shape), None)
        if near is None:
            return replace(row, reason=fit.reasons[0])
        fit, change = near.fit, near.change
    known = card_named(shape.card.name)
    ceiling = None if known is None else most_tokens_per_second(row.weights, shape, known.bandwidth)
    return replace(row, fit=fit, change=change, ceiling=ceiling)


def _values(row: Row) -> dict[str, Any]:
    model = row.model
    return {
        "name": model.name,
        "repository": model.repository,
        "revision": model.revision,
        "quantization": model.quantization,
        "checkpoint_bytes": row.weights.total,
        "weights": row.weights.architecture.method,
        "licence": model.licence,
        "gated": model.gated,
        "note": model.note,
        "commit_from": model.commit_from,
    }


def _fit_values(row: Row) -> dict[str, Any]:
    fit = row.fit
    return {
        "fits": fit is not None,
        "change": row.change,
        "reason": row.reason,
        "kv_tokens": fit and fit.kv_tokens,
        "concurrency": fit and round(fit.concurrency, 2),
        "tokens_per_second_at_most": row.ceiling and round(row.ceiling, 1),
    }


def _table(rows: Sequence[Row]) -> Table:
    table = _columns("model", "GB>", "weights", "licence", "")
    for row in rows:
        model = row.model
        table.add_row(
            model.name,
            f"{row.weights.total / 1e9:.1f}",
            row.weights.architecture.method,
            model.licence,
            "gated" if model.gated else "",
        )
    return table


def _print_fits(rows: Sequence[Row], shape: Shape, how: str) -> None:
    split = f"tensor parallel {shape.tensor_parallel}"
    if shape.pipeline_parallel > 1:
        split += f", pipeline parallel {shape.pipeline_parallel}"
    table = _columns("model", "GB>", "fits", "KV tokens>", "at once>", "tokens/s>", "")
    changes = list(dict.fromkeys(row.change for row in rows if row.change is not None))
    for row in rows:
        mark = "" if row.change is None else f" {_letter(changes.index(row.change))}"
        fit, speed = row.fit, row.ceiling
        table.add_row(
            row.model.name,
            f"{row.weights.total / 1e9:.1f}",
            "[red]✗[/red]" if fit is None else f"[green]✓[/green]{mark}",
            "" if fit is None else f"{fit.kv_tokens:,}",
            "" if fit is None else f"{fit.concurrency:.1f}",
            "" if speed is None else f"{speed:.0f}",
            "gated" if row.model.gated else "",
        )
    notes = [f"{_letter(index)}: with {change}" for index, change in enumerate(changes)]
    notes.append("at once: sequences of full length that the KV cache holds")
    if any(row.ceiling for row in rows):
        notes.append("tokens/s: the most for one reader, computed; never run on these cards")
    if any(row.fit is None for row in rows):
        notes.append("why not, and what would fit: fortyninety fit --cards ... --model NAME")
    _print(f"{shape.in_words}, {split}\n{how}\n", table, "", *notes)


def _letter(index: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[index % 26]


def _columns(*names: str) -> Table:
    """A table with these columns; those that end with ">" are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(
            name.removesuffix(">"), justify="right" if name.endswith(">") else "left", no_wrap=True
        )
    return table


def _print(*parts: Table | str) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH, no_color=True)
    for part in parts:
        console.print(part)
