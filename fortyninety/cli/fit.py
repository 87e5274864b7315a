"""Compute whether a model fits the cards, before anything is fetched: `fortyninety fit`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fortyninety.cards.known import cards_by_name
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.inventory_file import InventoryFile
from fortyninety.cli.options import AS_JSON, LIMIT
from fortyninety.fit.alternatives import Alternative, alternatives
from fortyninety.fit.errors import FitError
from fortyninety.fit.estimate import Fit, estimate
from fortyninety.fit.flags import KV_DTYPE_BYTES, Flags
from fortyninety.fit.report import WIDTH, fit_report, fit_values
from fortyninety.fit.shape import make_shape, one_stage_a_box, parse_cards
from fortyninety.fit.weights import Weights
from fortyninety.model.checkpoint import hub_checkpoint
from fortyninety.model.reader import folder_weights, known_weights
from fortyninety.model.sizes import known_checkpoints
from fortyninety.model.token import NoToken, token_at
from fortyninety.problem import Problem
from fortyninety.releases.release import known_releases, load_release
from fortyninety.settings.defaults import default_setting
from fortyninety.settings.named_models import named_model
from fortyninety.settings.one_value import value_problem
from fortyninety.settings.profiles import PROFILE_NAMES, PROFILES
from fortyninety.text.printable import printable


@dataclass(frozen=True)
class Answer:
    """The answer for one host, or for the question on the command line."""

    name: str
    fit: Fit
    alternatives: tuple[Alternative, ...]
    remarks: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """The answer as plain values."""
        values = fit_values(self.fit, self.alternatives)
        return {"host": self.name, **values, "remarks": list(self.remarks)} if self.name else values


# These reach an address of the hub, so they hold nothing that ends a path or a line.
REPOSITORY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*")
REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")

# Options that are settings of a deploy, and so are held to what one takes.
SETTINGS = (
    "gpu_memory_utilization",
    "kv_cache_dtype",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "tensor_parallel_size",
)

RELEASES_WITH_CARD = f"Releases with a card: {', '.join(known_releases())}."


@click.command("fit", epilog=RELEASES_WITH_CARD)
@click.argument("inventory", type=InventoryFile(), required=False)
@LIMIT
@click.option(
    "--cards",
    metavar="SPEC",
    help="Cards as COUNTxNAME or COUNTxMIB (as nvidia-smi prints it); a comma between boxes.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="A folder (config.json suffices), a repository, or a name of `fortyninety models`.",
)
@click.option("--revision", metavar="COMMIT", help="The repository's commit; default: main.")
@click.option("--profile", type=click.Choice(PROFILE_NAMES), help="Context and sequences by name.")
@click.option("--engine", metavar="RELEASE", help="The vLLM release, such as 0.32.0.")
@click.option(
    "--gpu-memory-utilization", type=float, metavar="SHARE", help="Of a card's memory: 0 to 1."
)
@click.option("--kv-cache-dtype", type=click.Choice(list(KV_DTYPE_BYTES)), help="Of the KV cache.")
@click.option("--max-model-len", type=int, metavar="TOKENS", help="The longest context.")
@click.option("--max-num-seqs", type=int, metavar="SEQUENCES", help="Requests at once.")
@click.option("--max-num-batched-tokens", type=int, metavar="TOKENS", help="Tokens of a step.")
@click.option(
    "--tensor-parallel-size",
    type=click.IntRange(min=1),
    metavar="CARDS",
    help="Cards that split each layer.",
)
@click.option(
    "--pipeline-parallel-size",
    type=click.IntRange(min=1),
    metavar="STAGES",
    help="Stages of layers, one after another.",
)
@click.option("--enforce-eager", is_flag=True, help="Without torch.compile and CUDA graphs.")
@AS_JSON
def fit(inventory: str | None, limit: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Show whether a model fits the cards, or what would instead.

    Also how much memory is left for the KV cache. Only config.json and the beginnings of shards are
    fetched. Sizes in JSON are bytes.

    Ends with 0 where it fits, 1 where it does not, 2 where the question cannot be answered, of one
    host or of all.

    \b
    Examples:
      fortyninety fit inventory/prod.py
      fortyninety fit --cards 2x4090 --profile balanced
      fortyninety fit --cards 1x4090,1x4090 --engine 0.32.0
      fortyninety fit --cards 1x24564 --model ./checkpoint --max-model-len 8192
      fortyninety fit --cards 2x24564 --json | jq .result.kv_tokens
    """
    problems: tuple[Problem, ...] = ()
    try:
        if (inventory is None) == (options["cards"] is None):
            raise FitError("give either an inventory or --cards; see fortyninety fit --help")
        _check_deployable(options)
        if refusal := _senseless(inventory, limit, options):
            raise FitError(refusal)
        if inventory is None:
            answers = [_question(options)]
        else:
            # Imported when the command runs: pyinfra_cli patches the standard library.
            from fortyninety.fleet.fit import fleet_fit  # noqa: PLC0415

            fleet = fleet_fit(inventory, limit, options)
            problems = fleet.problems
            answers = [
                Answer(host.name, host.fit, host.alternatives, host.remarks)
                for host in fleet.answers
            ]
    except FitError as error:
        raise NoAnswer(str(error)) from error
    fits = all(answer.fit.fits for answer in answers)
    code = NO_ANSWER if problems else DONE if fits else NO
    if as_json:
        values = [answer.values for answer in answers]
        print_envelope(code, values[0] if inventory is None else {"hosts": values}, problems)
    else:
        _print(answers)
        for problem in problems:
            click.echo(f"Error: {problem}", err=True)
    sys.exit(code)


def _check_deployable(options: dict[str, Any]) -> None:
    """Refuse what no setting can say. Raises FitError."""
    given = {key: options[key] for key in SETTINGS if options[key] is not None}
    wrong = [why for key, value in given.items() if (why := value_problem(key, value)) is not None]
    if wrong:
        raise FitError("; ".join(wrong))


def _senseless(
    inventory: str | None, limit: tuple[str, ...], options: dict[str, Any]
) -> str | None:
    """Why the options do not go together, or None."""
    if inventory is None:
        return "--limit is for an inventory; --cards names no host" if limit else None
    for name in ("model", "revision"):
        if options[name] is not None:
            return f"--{name} is for --cards; the model of a host is in its settings"
    return None


def _question(options: dict[str, Any]) -> Answer:
    profile = PROFILES[_given(options["profile"], default_setting("profile"))]
    shape = one_stage_a_box(
        make_shape(
            parse_cards(options["cards"], cards_by_name()),
            options["tensor_parallel_size"],
            options["pipeline_parallel_size"],
        )
    )
    engine = _given(options["engine"], default_setting("engine"))
    if engine in known_releases() and load_release(engine).device == "cpu":
        raise FitError(f"engine {engine} serves without cards; expected a release for GPUs")
    flags = Flags(
        max_model_len=_given(options["max_model_len"], profile.max_model_len),
        max_num_seqs=_given(options["max_num_seqs"], profile.max_num_seqs),
        kv_cache_dtype=_given(options["kv_cache_dtype"], default_setting("kv_cache_dtype")),
        gpu_memory_utilization=_given(
            options["gpu_memory_utilization"], default_setting("gpu_memory_utilization")
        ),
        max_num_batched_tokens=_given(
            options["max_num_batched_tokens"], profile.max_num_batched_tokens
        ),
        enforce_eager=options["enforce_eager"],
    )
    answer = estimate(_model(options["model"], options["revision"]), shape, engine, flags)
    return Answer("", answer, alternatives(answer, known_checkpoints()))


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _model(model: str | None, revision: str | None) -> Weights:
    """The weights of a folder of that name, else of a repository: recorded here, or on the hub."""
    if model is None:
        model = default_setting("model_repository")
        revision = _given(revision, default_setting("model_revision"))
    # An empty name would mean the current folder.
    if model and _is_folder(model):
        return folder_weights(Path(model))
    if (named := named_model(model)) is not None:
        model, revision = named.repository, _given(revision, named.revision)
    if REPOSITORY_NAME.fullmatch(model) is None:
        raise FitError(
            f"model is {model!r}; expected a folder, organisation/name, or a "
            "name of `fortyninety models`"
        )
    if revision is not None and REVISION.fullmatch(revision) is None:
        raise FitError(f"revision is {revision!r}; expected a commit, a branch or a tag")
    known = known_weights(model, revision)
    return known or _hub_weights(model, _given(revision, "main"))


def _is_folder(model: str) -> bool:
    try:
        return Path(model).is_dir()
    except OSError:
        # A name that is too long for one.
        return False


def _hub_weights(model: str, revision: str) -> Weights:
    """From the hub of HF_ENDPOINT, or that of group_data with the token that is meant for it."""
    if (endpoint := os.environ.get("HF_ENDPOINT")) is not None:
        return hub_checkpoint(model, revision, endpoint=endpoint).weights
    try:
        token = token_at(default_setting("hub_token"))
    except NoToken as none:
        raise FitError(f"hub_token is {none}") from none
    endpoint = default_setting("hub_endpoint")
    return hub_checkpoint(model, revision, endpoint=endpoint, token=token).weights


def _print(answers: Iterable[Answer]) -> None:
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH, no_color=True)
    for answer in answers:
        if answer.name:
            console.print(Text(f"\n{printable(answer.name)}"), style="bold")
        console.print(fit_report(answer.fit, answer.alternatives))
        for remark in answer.remarks:
            console.print(Padding(Text(f"({printable(remark)})"), (0, 0, 0, 2)))
