"""Put back what served before: `fortyninety rollback`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from fortyninety.cell.membership import named_cell
from fortyninety.cli.each_host import connected_hosts, on_each_host, print_lines, with_engine
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.cli.rollout import read_rollout_id
from fortyninety.cli.waiting import waiting
from fortyninety.deadlines import DIAGNOSIS, UNIT
from fortyninety.facts.answers import number_of, read_object, text_of, texts_of
from fortyninety.lease import new_claim, whoever_runs_this
from fortyninety.plan.paths import SERVICE_UNIT
from fortyninety.plan.programs import ROLL_BACK, program
from fortyninety.survey.records import Unreadable, quoted

# In seconds since 1970: in the year 9999.
LATEST = 253_000_000_000

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from fortyninety.connection.lease import RunLeases
    from fortyninety.fleet.inventory import ConnectedHosts
    from fortyninety.settings.model import Settings


@click.command()
@INVENTORY
@LIMIT
@click.option("--engine", metavar="RELEASE", help="Go back to the latest unit of this release.")
@click.option(
    "--rollout", metavar="ID", callback=read_rollout_id, help="Undo a rollout, a batch at a time."
)
@AS_JSON
def rollback(
    inventory: str, limit: tuple[str, ...], engine: str | None, rollout: str | None, as_json: bool
) -> None:
    """Put back what served before the last change.

    Each host returns to the latest unit that passed a deploy's gate and is not the one on disk: its
    engine, its model and its flags. The service restarts, and has to answer. A second rollback
    undoes the first. No network is used. The members of a cell go back together: a limit that names
    only some of them is refused. Where somebody else changes one of the hosts, none is rolled back.

    With --rollout the boxes of that rollout go back as they came: drained, by its canary and its
    batches, each watched; those that it did not change stay as they are.

    Ends with 0 where every host answers, 1 where one did not go back or does not answer, 2 where
    a host could not be reached, and with --rollout 4 where a box that served does not.

    \b
    Examples:
      fortyninety rollback inventory/prod.py --limit gpu-box-1
      fortyninety rollback inventory/prod.py --engine 0.8.5.post1
      fortyninety rollback inventory/prod.py --rollout 3f2a9c01
      fortyninety rollback inventory/prod.py --json
    """
    if rollout is not None:
        if limit or engine is not None:
            raise click.UsageError("--rollout goes without --limit and --engine")
        from fortyninety.cli.rolled_back import roll_back_rollout  # noqa: PLC0415

        sys.exit(roll_back_rollout(inventory, rollout, as_json=as_json))
    from fortyninety.connection.lease import RunLeases  # noqa: PLC0415

    if engine == "":
        # As of a variable that is not set: without it, another unit would be put back.
        raise click.UsageError("--engine is empty; expected a release")
    with connected_hosts(inventory, limit) as connected:
        with_engine(connected)
        if partial := _partial_cells(connected):
            raise NoAnswer(partial)
        names = ", ".join(host.name for host in connected.settings)
        with waiting(f"rolling back {names}"):
            leases = RunLeases(new_claim("rollback"), connected.settings)
            results = on_each_host(
                connected, lambda host, settings: _roll_back(host, settings, engine, leases)
            )
            leases.give_back()
    problems = connected.problems
    code = NO if any("error" in result for result in results.values()) else DONE
    if problems:
        code = NO_ANSWER
    if as_json:
        hosts = [{"host": name, **result} for name, result in results.items()]
        print_envelope(code, {"hosts": hosts}, problems)
    else:
        print_lines(_lines(results), problems)
    sys.exit(code)


def _partial_cells(connected: ConnectedHosts) -> str | None:
    """Why these hosts cannot be rolled back without others, in one line, or None."""
    cells = {each.cell for each in connected.settings.values() if each.cell is not None}
    lacking = []
    for host in connected.state.inventory:
        cell = named_cell(host.data.dict())  # type: ignore[no-untyped-call]
        if cell is not None and cell in cells and host not in connected.settings:
            lacking.append(f"{host.name} of cell {cell}")
    if not lacking:
        return None
    return (
        f"nothing was changed: {', '.join(lacking)} is left out or does not answer; expected every "
        "member of a cell or none"
    )


def _roll_back(
    host: Host, settings: Settings, engine: str | None, leases: RunLeases
) -> dict[str, Any]:
    """Roll a host back, and have its journal say so where it was changed."""
    result = _rolled_back(host, settings, engine, leases)
    if result["changed"]:
        from fortyninety.facts.history import Change, Served  # noqa: PLC0415
        from fortyninety.fleet.history import note, project  # noqa: PLC0415

        before = result.get("from", {})
        change = Change(
            what="rollback",
            who=whoever_runs_this(),
            project=project(),
            result="failed" if "error" in result else "done",
            why=result.get("error", ""),
            stages=("Service",),
            count=1,
            before=Served(
                before.get("engine", "").rpartition("/")[2], before.get("configuration", "")
            ),
        )
        note(host, change)
    return result


def _rolled_back(
    host: Host, settings: Settings, engine: str | None, leases: RunLeases
) -> dict[str, Any]:
    from fortyninety.connection.shell import HostLost, shell  # noqa: PLC0415
    from fortyninety.fleet.draining import take_back  # noqa: PLC0415

    if (obstacle := leases.obstacle(host)) is not None:
        return {"error": obstacle, "changed": False}
    options = [
        *("--install-directory", settings.install_directory, "--unit", SERVICE_UNIT),
        *("--port", str(settings.port), "--wait", str(settings.ready_timeout)),
        *(("--engine", engine) if engine else ()),
    ]
    try:
        # The program comes from here: a host may have that of an older deploy.
        output = shell(
            host,
            f"python3 - {shlex.join(options)}",
            timeout=settings.ready_timeout + UNIT + DIAGNOSIS,
            _stdin=program(ROLL_BACK),
        )
    except HostLost as lost:
        return {"error": str(lost), "changed": None}
    if not output.stdout_lines:
        said = " ".join(output.stderr.split()) or "the host gave no answer"
        return {"error": said, "changed": None}
    try:
        result = read_result(output.stdout_lines[-1])
    except Unreadable as unreadable:
        return {"error": f"the host answered {unreadable}", "changed": None}
    # A deploy that failed left the box drained: of a cell's members nothing is put back by itself.
    if "error" not in result and (fault := take_back(host, settings)) is not None:
        error = f"it answers and stays drained ({fault}); `fortyninety undrain` has it serve"
        return {"error": error, "changed": result["changed"]}
    return result


def read_result(line: str) -> dict[str, Any]:
    """Check and return the result of the program on a host. Raises Unreadable."""
    found = read_object(line)
    changed = found.get("changed")
    if changed not in (True, False, None):
        raise Unreadable(f"changed {quoted(repr(changed))}; expected true, false or null")
    if (error := text_of(found, "error")) is not None:
        return {"error": error, "details": texts_of(found, "details"), "changed": changed}
    units = {key: found.get(key) for key in ("from", "to")}
    seconds = found.get("seconds")
    if not all(isinstance(unit, dict) for unit in units.values()):
        raise Unreadable(f"{quoted(line)}; expected the units before and after")
    if not isinstance(seconds, int | float) or not 0 <= seconds < 10**6:
        raise Unreadable(f"{quoted(repr(seconds))} seconds; expected a number")
    result: dict[str, Any] = {"seconds": seconds, "changed": changed}
    for name, unit in units.items():
        keys = ("release", "configuration", "engine", "snapshot")
        result[name] = {key: text_of(unit, key) or "" for key in keys}  # type: ignore[arg-type]
    result["to"]["served_until"] = number_of(units["to"], "served_until")  # type: ignore[arg-type]
    return result


def _lines(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, result in results.items():
        yield f"{name}: {_line(result)}"
        for detail in result.get("details", ()):
            yield f"{name}:   {detail}"
    if any("error" not in result for result in results.values()):
        yield "The next deploy applies the settings: change engine and the rest to match."


def _line(result: dict[str, Any]) -> str:
    if "error" in result:
        state = {True: "was rolled back", False: "nothing was changed", None: "not known"}
        return f"{click.style(state[result['changed']], fg='red')}: {result['error']}"
    old, new = result["from"], result["to"]
    # A host's clock may be wrong: no year has more than four digits here.
    served_until = min(new["served_until"], LATEST)
    served = datetime.fromtimestamp(served_until).strftime("%Y-%m-%d %H:%M")
    return (
        f"from {old['release']} (configuration {old['configuration']}) back to {new['release']} "
        f"(configuration {new['configuration']}, which served at {served}); "
        f"answered after {result['seconds']} s"
    )
