"""Measure how long a checkpoint takes to a fleet, and how fast it is verified."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.alone import refuse_a_lab_that_is_up
from bench.hosts_cpu import hosts_cpu
from fortyninety.checkout import ROOT
from fortyninety.plan.programs import SNAPSHOT, run_from_input
from lab import hosts
from lab.errors import LabError
from lab.hosts import LabHost
from lab.hub import synthetic_model
from lab.hub.pinned import pinned_commit
from lab.hub.repository import head_commit
from lab.network import links
from lab.stages import operations

DEPLOY = "tests/lab/snapshot_deploy.py"
STAGE = "Snapshot"
FETCHING = "Fetch and verify"
MODELS = "/srv/models"
SHARDS = 9
VERIFY_RUNS = 5


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--hosts", "counts", default="1,2,4,8", show_default=True, help="Sizes of fleets.")
@click.option("--gigabytes", default=2.0, show_default=True, help="Size of the checkpoint.")
@click.option(
    "--link",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="MBIT",
    help="How fast the cables of the hosts and of the hub are, in Mbit/s.",
)
@click.option("--rounds", default=1, show_default=True, help="How often each is measured.")
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another checkout of this project, measured by turns on the same hosts.",
)
@click.option("--no-alone", is_flag=True, help="Leave out every host fetching for itself.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(
    *,
    counts: str,
    gigabytes: float,
    link: int,
    rounds: int,
    beside: Path | None,
    no_alone: bool,
    as_json: bool,
) -> None:
    """Bring a checkpoint of random bytes to fleets of lab hosts, whose cables and whose way to the
    hub have a speed, and hash it again.

    A fleet's seconds are those of the deploy's fetching operation: hub to published. `ratio` is to
    one copy of the same bytes over one such cable by a plain HTTP client. `alone` is the same with
    every host fetching for itself. The processor's seconds are the hosts' own, without the hub's
    and the controller's. Verification is compared with sha256sum on the same host and files, as
    many processes as cores, best of several, alternating.

    Where the machine's cores are the bound, a slower link shows what the wire allows.

    Takes about nine minutes and 20 GB of disk.

    \b
    Examples:
      python -m bench.snapshot --hosts 1,8
      python -m bench.snapshot --hosts 8 --link 150 --no-alone --beside /tmp/before
      python -m bench.snapshot --json > before.json
    """
    refuse_a_lab_that_is_up()
    sizes = [int(each) for each in counts.split(",")]
    checkouts = {"this": ROOT} if beside is None else {"beside": beside.resolve(), "this": ROOT}
    try:
        fleet = hosts.up(max(sizes))
        report = measure(
            fleet,
            sizes,
            int(gigabytes * 1e9),
            link,
            checkouts=checkouts,
            rounds=rounds,
            alone=not no_alone,
        )
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        hosts.down()
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)


def measure(
    fleet: Sequence[LabHost],
    sizes: Sequence[int],
    size: int,
    link: int,
    *,
    checkouts: Mapping[str, Path],
    rounds: int,
    alone: bool,
) -> dict[str, Any]:
    """The whole report, on hosts that are up. Raises LabError."""
    with ExitStack() as cleanup, tempfile.TemporaryDirectory() as temporary:
        root, log = Path(temporary) / "hub", Path(temporary) / "access.log"
        synthetic_model.make(root, size=size, shards=SHARDS)
        endpoint = cleanup.enter_context(links.hub_behind_a_link(root, log, link))
        inventory = Path(temporary) / "lab.py"
        # Once without limits, so that every host has its tools.
        _write_inventory(inventory, fleet, root, endpoint, peers=True)
        _deploy(inventory, ROOT)
        for host in fleet:
            links.shape(host, link)
            cleanup.callback(links.unshape, host)
        verify = _verify(fleet[0], root)
        one_copy = _one_copy(fleet[0], root, endpoint)
        rows = []
        for count, _, (name, checkout) in product(sizes, range(rounds), checkouts.items()):
            row: dict[str, Any] = {"hosts": count, "checkout": name}
            for key, peers in (("seconds", True), ("alone_seconds", False)):
                if not (peers or alone):
                    continue
                _forget(fleet)
                log.write_text("")
                _write_inventory(inventory, fleet[:count], root, endpoint, peers=peers)
                used, own = hosts_cpu(), _children_cpu()
                row[key] = round(_deploy(inventory, checkout), 2)
                if peers:
                    used, own = hosts_cpu() - used, _children_cpu() - own
                    row["ratio"] = round(row[key] / one_copy, 2)
                    row["bytes_from_hub"] = _bytes_sent(log)
                    row["hosts_cpu_seconds"] = round(used, 1)
                    row["hosts_cpu_seconds_per_gb"] = round(used / (count * size / 1e9), 2)
                    row["controller_cpu_seconds"] = round(own, 1)
                    row["load_average"] = round(os.getloadavg()[0], 1)
            if alone:
                row["alone_ratio"] = round(row["alone_seconds"] / one_copy, 2)
            rows.append(row)
        _forget(fleet)
    return {
        "bytes": size,
        "link_megabits": link,
        "cores": os.cpu_count(),
        "one_copy_seconds": round(one_copy, 2),
        "fleet": rows,
        "verify": verify,
    }


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write_inventory(
    path: Path, fleet: Sequence[LabHost], root: Path, endpoint: str, *, peers: bool
) -> None:
    data = {
        "model_repository": synthetic_model.REPOSITORY,
        "model_revision": pinned_commit(root, synthetic_model.REPOSITORY),
        "hub_endpoint": endpoint,
        "snapshot_peers": peers,
    }
    names = [host.name for host in fleet]
    path.write_text(
        "from lab.inventory import inventory\n"
        f"lab = [(name, {{**data, **{data!r}}}) for name, data in inventory() if name in {names}]\n"
    )


def _deploy(inventory: Path, checkout: Path) -> float:
    """Run a checkout's deploy; the seconds of the operation that fetches. Raises LabError."""
    seen: list[str] = []
    began = seconds = 0.0
    with subprocess.Popen(
        [*(str(ROOT / ".venv/bin/python"), "-m", "pyinfra", "-y"), str(inventory), DEPLOY],
        # First in the search for modules too: the library is the checkout's own.
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for operation in operations(process.stdout, seen):
            if operation.stage == STAGE and operation.name.startswith(FETCHING):
                began = time.monotonic()
            elif began and not seconds:
                seconds = time.monotonic() - began
    if process.returncode != 0 or not seconds:
        raise LabError(f"the deploy failed:\n{''.join(seen)}")
    return seconds


def _forget(fleet: Sequence[LabHost]) -> None:
    for host in fleet:
        host.ssh(f"rm -rf {MODELS}", check=True)
    # What was written is not still on its way to the disk while the next is measured.
    os.sync()


def _one_copy(host: LabHost, root: Path, endpoint: str) -> float:
    """Seconds of one copy over the cable: Python's own HTTP client, straight onto the disk."""
    commit = head_commit(root, synthetic_model.REPOSITORY)
    address = f"{endpoint}/{synthetic_model.REPOSITORY}/resolve/{commit}"
    names = sorted(path.name for path in (root / synthetic_model.REPOSITORY).iterdir())
    _forget([host])
    began = time.monotonic()
    host.ssh(
        f"mkdir -p {MODELS} && python3 -c '\n"
        "import shutil, sys, urllib.request\n"
        "for name in sys.argv[2:]:\n"
        f'    with open("{MODELS}/" + name, "wb") as file:\n'
        '        with urllib.request.urlopen(sys.argv[1] + "/" + name) as answer:\n'
        "            shutil.copyfileobj(answer, file, 1 << 20)\n"
        f"' {address} {' '.join(names)}",
        check=True,
    )
    return time.monotonic() - began


def _bytes_sent(log: Path) -> int:
    lines = [line.split() for line in log.read_text().splitlines()]
    return sum(int(line[3]) for line in lines if line[0] == "GET" and "/resolve/" in line[1])


def _verify(host: LabHost, root: Path) -> dict[str, Any]:
    """How fast a published snapshot is hashed again, and how fast sha256sum is on it."""
    commit = head_commit(root, synthetic_model.REPOSITORY)
    folder = f"{MODELS}/{synthetic_model.REPOSITORY.partition('/')[2]}/{commit}"
    size = sum(path.stat().st_size for path in (root / synthetic_model.REPOSITORY).iterdir())
    sums = f"cd {folder} && ls | xargs -P $(nproc) -n 1 sha256sum > /dev/null"
    command, program = run_from_input(SNAPSHOT, "verify", folder)
    ours, theirs = [], []
    for _ in range(VERIFY_RUNS):
        theirs.append(_timed(host, sums))
        ours.append(_timed(host, f"{command} > /dev/null", program))
    return {
        "gigabytes_per_second": round(size / 1e9 / min(ours), 2),
        "sha256sum_gigabytes_per_second": round(size / 1e9 / min(theirs), 2),
        "ratio": round(min(theirs) / min(ours), 3),
    }


def _timed(host: LabHost, command: str, input_text: str | None = None) -> float:
    began = time.monotonic()
    host.ssh(command, input_text=input_text, check=True)
    return time.monotonic() - began


def _print(report: dict[str, Any]) -> None:
    table = Table(
        title=f"{report['bytes'] / 1e9:g} GB over {report['link_megabits']} Mbit/s, "
        f"one copy {report['one_copy_seconds']} s"
    )
    for heading in ("hosts", "checkout", "s", "ratio", "GB from hub", "CPU s a GB", "load"):
        table.add_column(heading, justify="right")
    for heading in ("each for itself, s", "ratio") if "alone_ratio" in report["fleet"][0] else ():
        table.add_column(heading, justify="right")
    for row in report["fleet"]:
        table.add_row(
            str(row["hosts"]),
            row["checkout"],
            f"{row['seconds']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['bytes_from_hub'] / 1e9:.2f}",
            f"{row['hosts_cpu_seconds_per_gb']:.2f}",
            f"{row['load_average']:.1f}",
            *(f"{row[key]:.1f}" for key in ("alone_seconds", "alone_ratio") if key in row),
        )
    Console().print(table)
    verify = report["verify"]
    click.echo(
        f"verification {verify['gigabytes_per_second']} GB/s on {report['cores']} cores, "
        f"{verify['ratio']} of sha256sum's {verify['sha256sum_gigabytes_per_second']} GB/s"
    )


if __name__ == "__main__":
    main()
