"""Measure how fast an engine is: `fortyninety bench`."""

from __future__ import annotations

import os
import random
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.text import Text

from fortyninety.cli.each_host import connected_hosts
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO
from fortyninety.cli.inventory_file import InventoryFile
from fortyninety.cli.options import AS_JSON, LIMIT, YES
from fortyninety.cli.waiting import LONGEST as LONGEST_SHOWN
from fortyninety.cli.waiting import waiting
from fortyninety.engine.bounded_http import Unanswered
from fortyninety.engine.streamed_chat import served_models
from fortyninety.load.batch import Load, Watching
from fortyninety.load.chat import run_chat
from fortyninety.load.comparison import Earlier, NoEarlier, compare, read_earlier
from fortyninety.load.measure import Batches, Measuring
from fortyninety.load.plot import NoPlot, check_plot, draw
from fortyninety.load.report import report
from fortyninety.load.result import Capped, Result, values
from fortyninety.load.target import NoAddress, Target, at_address
from fortyninety.problem import Problem
from fortyninety.text.printable import printable

if TYPE_CHECKING:
    from fortyninety.fleet.engines import Serving
    from fortyninety.fleet.power_caps import Capping

SIZES = (1, 2, 4, 8, 16)
MOST_AT_ONCE = 256
MOST_SIZES = 16
# Where the key of a gateway is found; it is on no command line.
KEY_VARIABLE = "FORTYNINETY_KEY"
LONGEST_KEY = 1000


class InventoryOrAddress(InventoryFile):
    """An inventory's file, or an address that begins with http:// or https://."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """The path or the address as it is given. Raises NoAnswer."""
        given = os.fspath(value)
        return given if is_address(given) else super().convert(value, param, ctx)


def is_address(given: str) -> bool:
    """Whether it is an address, and no file."""
    return given.startswith(("http://", "https://"))


@dataclass(frozen=True)
class Options:
    """What is asked for on the command line."""

    sizes: tuple[int, ...] | None
    prompt_tokens: int
    completion_tokens: int
    rounds: int
    chat: bool
    caps: tuple[int, ...]


def _tokens(name: str, most: int, default: int, said: str) -> Callable[[Any], Any]:
    kind = click.IntRange(1, most)
    return click.option(name, type=kind, default=default, show_default=True, help=said)


@click.command()
@click.argument("inventory", metavar="INVENTORY|URL", type=InventoryOrAddress())
@LIMIT
@click.option("--batch", metavar="N,N,...", help="How many at once; default: 1,2,4,8,16.")
@_tokens("--prompt-tokens", 131_072, 512, "Tokens of each prompt.")
@_tokens("--completion-tokens", 131_072, 128, "Tokens of each answer.")
@_tokens("--rounds", 1_000, 2, "How often each of a batch asks.")
@click.option("--chat", "chatting", is_flag=True, help="Also a chat of four turns.")
@click.option("--power-caps", metavar="W,W,...", help="Measure under each cap; asks first.")
@click.option("--model", help="Its name; default: the one that is served.")
@click.option("--key-file", metavar="FILE", help=f"A gateway's key; or in {KEY_VARIABLE}.")
@click.option("--certificate", metavar="FILE", help="Whose certificates of a gateway to believe.")
@click.option("--compare", "earlier", metavar="FILE", help="What --json printed earlier.")
@click.option("--plot", metavar="FILE", help="Draw it: .png or .svg (fortyninety[plot]).")
@YES
@AS_JSON
def bench(inventory: str, limit: tuple[str, ...], **given: Any) -> None:
    """Measure tokens/s, first token and time between tokens.

    The first host of INVENTORY whose engine serves is asked through SSH, of a cell its head; a URL
    is that of an engine or a gateway. Prompts are of random tokens that no cache has, answers of a
    fixed length; tokens are counted by the engine. What speaks against the figures (a throttled
    card, another client at work) is said with them. Nothing else should ask meanwhile.

    Ends with 0 where it was measured, 1 where no engine serves, one said an error or figures are
    not to be trusted, 2 where a host could not be reached.

    \b
    Examples:
      fortyninety bench inventory/prod.py
      fortyninety bench inventory/prod.py --batch 1,4 --prompt-tokens 2000 --chat
      fortyninety bench https://gpu-box-1.example.org --key-file ~/key --certificate fleet.pem
      fortyninety bench inventory/prod.py --json > today.json
      fortyninety bench inventory/prod.py --compare last-week.json --plot today.svg
      fortyninety bench inventory/prod.py --batch 1,8 --power-caps 300,350,400,450
    """
    options = Options(
        sizes=_numbers("--batch", given["batch"], MOST_AT_ONCE),
        prompt_tokens=given["prompt_tokens"],
        completion_tokens=given["completion_tokens"],
        rounds=given["rounds"],
        chat=given["chatting"],
        caps=_numbers("--power-caps", given["power_caps"], 2_000) or (),
    )
    earlier, plot = _earlier(given["earlier"]), _plot(given["plot"])
    try:
        if is_address(inventory):
            if limit or options.caps:
                raise click.UsageError("--limit and --power-caps are for an inventory, not a URL")
            result = _at_address(inventory, options, given)
        else:
            result = _of_inventory(inventory, limit, options, given)
    except _Failed as failed:
        _end_without(failed.problems, given["as_json"])
    if plot is not None:
        try:
            draw(result, plot)
        except NoPlot as none:
            result = replace(result, doubts=(*result.doubts, str(none)))
    _print(result, earlier, given["as_json"])
    sys.exit(DONE if result.trusted else NO)


def _at_address(address: str, options: Options, given: dict[str, Any]) -> Result:
    shown = printable(address, LONGEST_SHOWN)
    try:
        target = at_address(address, _key(given["key_file"]), given["certificate"])
    except NoAddress as none:
        raise NoAnswer(f"{shown} is {none}") from none
    try:
        model = given["model"] or _served(target)
        return _measured(target, shown, model, options, options.sizes or SIZES)
    except Unanswered as none:
        found = Problem(
            host=shown, subject="the engine", found=str(none), expected="an engine that serves"
        )
        raise _Failed((found,)) from none


def _served(target: Target) -> str:
    """The name of the first model that is served. Raises Unanswered."""
    with target.open() as stream:
        names = served_models(stream, target.port, host=target.host, headers=target.headers)
    if not names:
        raise Unanswered("serving no model")
    return names[0]


def _of_inventory(
    inventory: str, limit: tuple[str, ...], options: Options, given: dict[str, Any]
) -> Result:
    from fortyninety.fleet.engines import NoneServes, first_serving  # noqa: PLC0415

    with connected_hosts(inventory, limit, as_root=bool(options.caps)) as connected:
        try:
            serving = first_serving(connected)
        except NoneServes as none:
            if none.unreachable:
                raise NoAnswer("no host serves", none.problems) from none
            raise _Failed(none.problems) from none
        return _of_host(serving, options, given)


def _of_host(serving: Serving, options: Options, given: dict[str, Any]) -> Result:
    from fortyninety.connection.bounded import HostLost  # noqa: PLC0415
    from fortyninety.connection.tunnel import NotForwarded  # noqa: PLC0415
    from fortyninety.fleet.bench import ceiling_of, target_of, watched  # noqa: PLC0415
    from fortyninety.fleet.engines import unanswered_problem  # noqa: PLC0415
    from fortyninety.fleet.power_caps import (  # noqa: PLC0415
        CapsLeft,
        CapsUntouched,
        caps_tried,
    )

    settings = serving.settings
    most = settings.max_num_seqs
    sizes = options.sizes or tuple(size for size in SIZES if size <= most)
    if options.caps:
        _ask_for_caps(serving.host.name, options.caps, yes=given["yes"])
    try:
        with ExitStack() as stack:
            cap = (
                stack.enter_context(caps_tried(serving.host, options.caps))
                if options.caps
                else None
            )
            result = _measured(
                target_of(serving),
                serving.host.name,
                given["model"] or settings.model_name,
                options,
                sizes,
                watching=lambda: watched(serving.host),
                most=most,
                cap=cap,
            )
    except (CapsUntouched, CapsLeft) as why:
        raise _Failed((_caps_problem(serving.host.name, str(why)),)) from why
    except (HostLost, NotForwarded, Unanswered) as why:
        problem = unanswered_problem(serving, why, "whole answers")
        if not serving.reached:
            raise NoAnswer("", (problem,)) from why
        raise _Failed((problem,)) from why
    return replace(result, ceiling=ceiling_of(serving))


def _measured(
    target: Target,
    where: str,
    model: str,
    options: Options,
    sizes: tuple[int, ...],
    *,
    watching: Watching = nullcontext,
    most: int | None = None,
    cap: Capping | None = None,
) -> Result:
    load = Load(model, options.prompt_tokens, options.completion_tokens)
    with waiting(f"measuring {where}") as status:

        def tell(said: str) -> None:
            status.update(Text(printable(f"measuring {where}: {said}", LONGEST_SHOWN)))

        measuring = Measuring(target, load, Batches(sizes, options.rounds, tell, most), watching)
        capped = []
        for watts in options.caps if cap is not None else (None,):
            if watts is not None and cap is not None:
                cap(watts)
            said = "" if watts is None else f" at {watts} W"
            capped.append(Capped(watts, measuring.run(said)))
        chat = None
        if options.chat:
            tell("a chat")
            chat = run_chat(target, load, random.Random())
    return Result(where, load, options.rounds, tuple(capped), chat)


def _ask_for_caps(host: str, caps: tuple[int, ...], *, yes: bool) -> None:
    """Ask before caps of a card are changed; Abort where the answer is no."""
    if yes:
        return
    words = ", ".join(f"{watts} W" for watts in caps)
    click.confirm(
        f"Cap every card of {printable(host)} at {words}, one after another, and put its caps "
        "back after it?",
        abort=True,
        err=True,
    )


def _caps_problem(host: str, found: str) -> Problem:
    return Problem(
        host=host,
        subject="power caps",
        found=found,
        expected="caps that are tried and put back",
        remedy="See them: `nvidia-smi -q -d POWER`; a deploy sets those of the settings",
    )


class _Failed(Exception):
    """Why the engine was not measured."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def _end_without(problems: tuple[Problem, ...], as_json: bool) -> NoReturn:
    for problem in problems:
        click.secho(f"Error: {problem}", fg="red", err=True)
    if as_json:
        print_envelope(NO, None, problems)
    sys.exit(NO)


def _print(result: Result, earlier: Earlier | None, as_json: bool) -> None:
    compared = [] if earlier is None else list(compare(earlier, result))
    if as_json:
        print_envelope(DONE if result.trusted else NO, {**values(result), "compared": compared})
        return
    for line in (*report(result), *compared):
        shown = printable(line)
        click.echo(click.style(shown, fg="yellow") if line.lstrip().startswith("!") else shown)


def _numbers(option: str, given: str | None, most: int) -> tuple[int, ...] | None:
    """The numbers of an option in order, each once. Raises UsageError."""
    if given is None:
        return None
    words = given.split(",")
    if len(words) > MOST_SIZES or not all(re.fullmatch("[1-9][0-9]{0,3}", each) for each in words):
        raise click.UsageError(
            f"{option} is {printable(given, 60) or 'empty'}; expected numbers such as 1,2,4"
        )
    numbers = sorted({int(each) for each in words})
    if numbers[-1] > most:
        raise click.UsageError(f"{option} has {numbers[-1]}; expected {most} at most")
    return tuple(numbers)


def _earlier(file: str | None) -> Earlier | None:
    if file is None:
        return None
    try:
        return read_earlier(Path(file))
    except (NoEarlier, ValueError) as none:
        raise NoAnswer(printable(str(none), LONGEST_SHOWN)) from none


def _plot(file: str | None) -> Path | None:
    if file is None:
        return None
    try:
        path = Path(file)
        check_plot(path)
    except (NoPlot, ValueError, OSError) as none:
        raise NoAnswer(printable(str(none), LONGEST_SHOWN)) from none
    return path


def _key(file: str | None) -> str | None:
    """The key of a gateway, from a file or the environment; None where there is none."""
    if file is None:
        found = os.environ.get(KEY_VARIABLE) or None
        place = KEY_VARIABLE
    else:
        place = printable(file, LONGEST_SHOWN)
        try:
            with Path(file).open(encoding="ascii") as stream:
                found = stream.read(LONGEST_KEY + 1).strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise NoAnswer(f"the key file {place} cannot be read: {why}") from error
    if found is not None and not re.fullmatch(rf"[!-~]{{1,{LONGEST_KEY}}}", found):
        raise NoAnswer(f"{place} holds no key: expected one word of ASCII")
    return found
