"""Deploy to hosts: `fortyninety deploy`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER, WOULD_CHANGE
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT, YES
from fortyninety.plan.draining import in_words
from fortyninety.plan.duration import (
    Fetched,
    first_deploy_minutes,
    package_bytes,
    start_seconds,
)
from fortyninety.plan.gateway import how_drained
from fortyninety.problem import Problem, problem_lines
from fortyninety.releases.release import load_release
from fortyninety.text.printable import printable
from fortyninety.text.shown_values import shown

if TYPE_CHECKING:
    from fortyninety.fleet.deployment import Deployment, HostEnd
    from fortyninety.fleet.inventory import ChosenHosts
    from fortyninety.fleet.serving import Serving

# Characters of the hosts' names in a line.
LONGEST = 1000


@click.command()
@INVENTORY
@LIMIT
@click.option("--exclude", multiple=True, metavar="HOST_OR_GROUP", help="Not these; repeatable.")
@click.option("--dry", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--prepare", is_flag=True, help="Bring only what restarts nothing.")
@YES
@click.option("--data", multiple=True, metavar="KEY=VALUE", help="A setting for all; repeatable.")
@AS_JSON
def deploy(  # noqa: PLR0917 (click gives them by name)
    inventory: str,
    limit: tuple[str, ...],
    exclude: tuple[str, ...],
    dry: bool,
    prepare: bool,
    yes: bool,
    data: tuple[str, ...],
    as_json: bool,
) -> None:
    """Bring the hosts of INVENTORY to where they answer.

    It is what `pyinfra INVENTORY deploy.py` is, from any folder: deploy.py of this folder where
    there is one, else the project's own. A second run changes nothing, and one that was cut
    goes on. With --yes the changes are not shown first. With --prepare it builds the engine's
    environment and fetches the model and leaves what serves alone, so that the deploy is short.

    Ends with 0 where every host was deployed to, 1 where one failed, or where it was refused or
    declined and nothing was changed, 2 where a host could not be reached or its settings are
    wrong, and, with --dry, 3 where a deploy would change something.

    \b
    Examples:
      fortyninety deploy inventory/prod.py
      fortyninety deploy inventory/prod.py --limit gpu-box-1 --dry
      fortyninety deploy inventory/prod.py --yes --data power_limit=350
      fortyninety deploy inventory/prod.py --yes --json | jq '.result.hosts[].serves'
    """
    if not (dry or yes or sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: give --yes, or --dry to look only")
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.deploy_file import OWN, PREPARE, deploy_file  # noqa: PLC0415
    from fortyninety.fleet.deployment import prepared  # noqa: PLC0415
    from fortyninety.fleet.inventory import InventoryUnusable, choose_hosts  # noqa: PLC0415

    try:
        chosen = choose_hosts(inventory, limit, exclude=exclude, data=_values(data))
        _announce(chosen, inventory, own=deploy_file() == OWN)
        file = PREPARE if prepare else OWN
        with prepared(chosen, detect_changes=dry or not yes, file=file) as deployment:
            if deployment.problems:
                code = _refused(deployment, as_json=as_json)
            elif dry:
                code = _shown(deployment, as_json=as_json)
            else:
                code = _deployed(deployment, inventory, yes=yes, as_json=as_json, prepare=prepare)
    except InventoryUnusable as unusable:
        raise NoAnswer(str(unusable)) from unusable
    sys.exit(code)


def _values(given: Iterable[str]) -> dict[str, Any]:
    """The settings of `--data`, each as pyinfra reads a value of its command line."""
    from pyinfra_cli.util import parse_cli_arg  # noqa: PLC0415

    found = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not (key and equals):
            # What is left of a typing error may be a secret.
            raise click.UsageError(f"--data has {shown('', each)}; expected KEY=VALUE")
        found[key] = parse_cli_arg(value)
    return found


def _announce(chosen: ChosenHosts, inventory: str, *, own: bool) -> None:
    """Say on standard error which hosts, by which file, and how long it takes."""
    names = printable(", ".join(host.name for host in chosen.hosts), LONGEST)
    _say(f"Deploying to {names} of {inventory}")
    _say(*_roles(chosen))
    if own:
        _say("by the deploy.py of this folder, not by fortyninety's own")
        return
    fast, slow = (_minutes(chosen, gigabits) for gigabits in (1.0, 0.1))
    if fast and slow:
        _say(
            f"A first deploy takes up to {fast} minutes with 1 Gbit/s to the internet, {slow} with "
            "100 Mbit/s (computed,\nnever timed on a real RTX 4090); one that has nothing to do, "
            "seconds."
        )


def _roles(chosen: ChosenHosts) -> list[str]:
    """What each host gets, a line for each, where it is not an engine for all."""
    if all(each.roles == ["engine"] for each in chosen.settings.values()):
        return []
    said = {"engine": "an engine", "gateway": "the front of boxes", "monitor": "their monitor"}
    return [
        f"  {printable(host.name, LONGEST)}: {', '.join(said[role] for role in each.roles)}"
        for host, each in chosen.settings.items()
    ]


def _minutes(chosen: ChosenHosts, gigabits: float) -> int | None:
    """Minutes of a first deploy, or None where the size of a model is not known here."""
    from fortyninety.fit.errors import FitError  # noqa: PLC0415
    from fortyninety.fleet.checkpoints import checkpoint_of  # noqa: PLC0415

    hosts = []
    for settings in chosen.settings.values():
        if not settings.has_engine:
            continue
        weights = checkpoint_of(settings, ask=False)
        if isinstance(weights, FitError):
            return None
        device = load_release(settings.engine).device
        hosts.append(
            Fetched(
                package_bytes(device),
                f"{settings.model_repository}@{settings.model_revision}",
                weights.total,
                start_seconds(device),
            )
        )
    handed_on = all(each.snapshot_peers for each in chosen.settings.values() if each.has_engine)
    return first_deploy_minutes(hosts, gigabits, handed_on=handed_on) if hosts else None


def _refused(deployment: Deployment, *, as_json: bool) -> int:
    """Say every reason. A host without an answer or without settings outweighs the others."""
    problems = deployment.problems
    code = NO_ANSWER if deployment.unanswered else NO
    count = len(problems)
    _say(
        f"Refused: nothing was changed on any host, for {count} reason{'' if count == 1 else 's'}:",
        *problem_lines(problems),
        fg="red",
    )
    if as_json:
        print_envelope(code, None, problems)
    return code


def _shown(deployment: Deployment, *, as_json: bool) -> int:
    """Show what a deploy would change."""
    from fortyninety.fleet.drift import drift_of  # noqa: PLC0415

    found = [drift_of(deployment.connected.state, host) for host in deployment.plans]
    code = WOULD_CHANGE if any(host.changes for host in found) else DONE
    if as_json:
        hosts = [{"host": each.name, "changes": len(each.changes)} for each in found]
        print_envelope(code, {"hosts": hosts})
        return code
    deployment.show_changes()
    _say("Nothing was changed. Why each would change: `fortyninety drift`")
    return code


def _deployed(
    deployment: Deployment, inventory: str, *, yes: bool, as_json: bool, prepare: bool
) -> int:
    """Ask, carry it out, and say how every host ended."""
    if not yes:
        deployment.show_changes()
        if not click.confirm("Deploy this?", err=True):
            _say("Nothing was changed")
            if as_json:
                print_envelope(NO, {"hosts": []})
            return NO
    ends = deployment.carry_out()
    failures = [each.failure for each in ends if each.failure is not None]
    code = NO if failures else DONE
    if as_json:
        hosts = [_page(each, inventory, prepare=prepare) for each in ends]
        print_envelope(code, {"hosts": hosts}, failures)
    elif prepare:
        for end in ends:
            if end.failure is None:
                click.echo(f"{end.host.name} is prepared; what serves is as it was")
        _say(*(line.removeprefix("    - ") for line in problem_lines(failures)), fg="red")
    else:
        _say_ends(ends, failures, inventory)
    return code


def _page(end: HostEnd, inventory: str, *, prepare: bool) -> dict[str, object]:
    serves = None if prepare else _serves(end, inventory)
    return {
        "host": end.host.name,
        "deployed": end.failure is None,
        "changes": end.changes,
        "serves": None if serves is None else asdict(serves),
        "drained": _drained(end),
    }


def _drained(end: HostEnd) -> str | None:
    """Until when, by whom and why a host is drained, where that was not of a deploy's making."""
    draining = how_drained(end.plan.gateway)
    drained = None if draining is None else draining.before
    if drained is None or drained.is_of_a_deploy or drained.until < time.time():
        return None
    return in_words(drained)


def _serves(end: HostEnd, inventory: str) -> Serving | None:
    from fortyninety.fleet.planning import host_data  # noqa: PLC0415
    from fortyninety.fleet.serving import serving  # noqa: PLC0415

    if end.failure is not None:
        return None
    return serving(end.host.name, host_data(end.host), end.plan, Path(inventory))


def _say_ends(ends: Sequence[HostEnd], failures: Iterable[Problem], inventory: str) -> None:
    path = shlex.quote(inventory)
    for end in ends:
        serves = _serves(end, inventory)
        if serves is not None and serves.gateway is not None:
            boxes = printable(", ".join(serves.boxes), LONGEST)
            click.echo(
                f"\n{end.host.name} answers at {serves.gateway} to who has a key. To try it:"
            )
            click.echo(
                f"  export OPENAI_API_KEY=$(fortyninety key add {path} NAME --tenant TENANT)\n"
                f"  {serves.with_key}"
            )
            if boxes:
                click.echo(f"It is the front of {boxes}")
        elif serves is not None:
            click.echo(f"\n{end.host.name} answers at {serves.address} of the box. From here:")
            click.echo(f"  {serves.tunnel}\n  {serves.request}")
        elif end.failure is None and end.plan.has_engine:
            click.echo(f"\n{end.host.name} is deployed; the head of its cell answers")
        elif end.failure is None:
            click.echo(f"\n{end.host.name} is deployed")
        if (drained := _drained(end)) is not None:
            click.secho(f"{end.host.name} stays {drained}: it gets no requests", fg="yellow")
    for line in problem_lines(failures):
        click.secho(line.removeprefix("    - "), fg="red", err=True)
    if any(end.failure is None and end.plan.has_engine for end in ends):
        click.echo(f"\nOr, without a port: fortyninety ask {path} 'Say hello.'")
    click.echo(f"Whether all is right, now and in three months: fortyninety check {path}")


def _say(*lines: str, fg: str | None = None) -> None:
    for line in lines:
        click.secho(line, fg=fg, err=True)
