"""Measure what each engine release costs to install: seconds, bytes on disk, packages."""

from __future__ import annotations

import json
import subprocess
import time

import click
from rich.console import Console
from rich.table import Table

from bench.alone import refuse_a_lab_that_is_up
from bench.converge import SAVED, save_converged_host
from fortyninety.checkout import ROOT
from fortyninety.releases.release import known_releases, load_release
from lab import hosts
from lab.errors import LabError
from lab.hosts import LabHost
from lab.stages import deploy_command

INVENTORY = "inventory/lab.py"
ENGINES = "/opt/fortyninety/engines"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--release", "releases", multiple=True, help="Only this release; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(releases: tuple[str, ...], as_json: bool) -> None:
    """Install every engine release from its lock on one lab host, one after the other.

    Each is installed twice, and the second time counts: the first fills uv's cache, so that what is
    measured is unpacking, compiling bytecode and trying it, and not the network of the day.

    \b
    Examples:
      python -m bench.engines
      python -m bench.engines --release 0.8.5.post1 --json
    """
    refuse_a_lab_that_is_up()
    try:
        save_converged_host()
        (host,) = hosts.up(1, cards="1x24564", saved=SAVED)
        results = [_installed(host, release) for release in releases or known_releases()]
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        hosts.down()
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        _print(results)


def _installed(host: LabHost, release: str) -> dict[str, str | float | int]:
    seconds = 0.0
    environment = f"{ENGINES}/{load_release(release).environment_name}"
    for _ in range(2):
        host.ssh(f"rm -rf {environment}", check=True)
        began = time.monotonic()
        ran = subprocess.run(
            deploy_command(
                INVENTORY, "--data", f"engine={release}", deploy_file="bench/engine_deploy.py"
            ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        if ran.returncode != 0:
            raise LabError(f"{release} does not install:\n{ran.stdout}{ran.stderr}")
    measured = host.ssh(
        f"du --summarize --bytes {environment} | cut -f 1; "
        f"ls -d {environment}/lib/python3.11/site-packages/*.dist-info | wc -l; "
        # 7 GB each: one at a time.
        f"rm -rf {environment}",
        check=True,
    ).stdout.split()
    return {
        "release": release,
        "install_seconds": round(seconds, 1),
        "bytes_on_disk": int(measured[0]),
        "packages": int(measured[1]),
    }


def _print(results: list[dict[str, str | float | int]]) -> None:
    table = Table(title="Engine releases installed on a lab host")
    table.add_column("release")
    for heading in ("install s", "GB on disk", "packages"):
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            str(result["release"]),
            str(result["install_seconds"]),
            f"{float(result['bytes_on_disk']) / 1e9:.1f}",
            str(result["packages"]),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
