"""Cut a host's power at random moments of a deploy, and see whether the next run converges."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.alone import refuse_a_lab_that_is_up
from bench.converge import CARDS, INVENTORY, SAVED, save_converged_host
from lab import hosts
from lab.errors import LabError
from lab.hosts import LabHost
from lab.stages import Operation, deploy

# Undoes all that a deploy does after the driver: a whole one takes minutes, mostly DKMS's.
UNDO = (
    "systemctl disable --now --quiet vllm.service fortyninety-power-limit.service; "
    "rm -rf /opt/fortyninety /srv/models /etc/systemd/system/vllm.service "
    "/etc/systemd/system/fortyninety-power-limit.service /etc/apt/preferences.d/fortyninety-*; "
    "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge python3.11-dev python3-venv >/dev/null; "
    "userdel vllm; systemctl daemon-reload; sync"
)


@dataclass
class Cut:
    """A power cut, `after` so many seconds of a deploy, and what the next run made of it.

    `within` the deploy, it came after the first operation had begun and before the last had ended.
    """

    after: float
    operation: str
    within: bool
    converged: bool
    seconds: float
    said: str = ""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--cuts", default=30, show_default=True, help="How many, at random moments.")
@click.option("--seed", type=int, help="The same moments as in another run.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the cuts as JSON, too.")
def main(cuts: int, seed: int | None, write: Path | None) -> None:
    """Cut the power of a lab host at random moments of a deploy, and deploy again, once.

    Makes the host itself, the first time by one whole deploy (minutes), and ends it. Each cut takes
    two to four minutes. Ends with 1 where a run after a cut did not converge.

    \b
    Examples:
      python -m bench.power_cuts --cuts 3
      python -m bench.power_cuts --write cuts.json
    """
    refuse_a_lab_that_is_up()
    moments = random.Random(seed)
    done: list[Cut] = []
    try:
        save_converged_host()
        (host,) = hosts.up(1, cards=CARDS, saved=SAVED)
        whole = undisturbed_seconds(host)
        click.echo(f"without a cut: {whole:.0f} s")
        for _ in range(cuts):
            done.append(cut_and_deploy(host, moments.uniform(1, whole)))
            click.echo(json.dumps(asdict(done[-1])))
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        hosts.down()
        if write is not None:
            write.write_text(json.dumps([asdict(each) for each in done], indent=2))
    within = [each for each in done if each.within]
    converged = sum(each.converged for each in within)
    click.echo(
        f"{converged} of {len(within)} cuts within a deploy converged in one run; "
        f"{len(done) - len(within)} came before its first or after its last operation"
    )
    if not all(each.converged for each in done):
        raise SystemExit(1)


def undisturbed_seconds(host: LabHost) -> float:
    """How long the deploy takes on the host from what UNDO leaves. Raises LabError."""
    host.ssh(UNDO)
    began = time.monotonic()
    ran = deploy(INVENTORY)
    if ran.exit_code != 0:
        raise LabError(f"the deploy without a cut failed:\n{ran.output}")
    return time.monotonic() - began


def cut_and_deploy(host: LabHost, after: float) -> Cut:
    """Undo, deploy, cut the power `after` so many seconds, power on, deploy once, and once more.

    It converged where that one run succeeded and the one after it changed nothing.
    """
    host.ssh(UNDO)
    operations: list[Operation] = []
    last: list[Operation | None] = []

    def cut() -> None:
        last.append(operations[-1] if operations else None)
        host.cut_power()
        # Back at once, as a box whose plug was pulled and put in again: the controller learns of it
        # as soon as it asks, and need not wait until the host counts as silent.
        host.start()

    timer = threading.Timer(after, cut)
    timer.start()
    try:
        deploy(INVENTORY, on_operation=operations.append)
    except subprocess.SubprocessError as error:
        raise LabError(str(error)) from error
    finally:
        timer.cancel()
        timer.join()
    began = time.monotonic()
    ran = deploy(INVENTORY)
    seconds = round(time.monotonic() - began, 1)
    again = deploy(INVENTORY)
    changed = " Success\n" in again.output
    outside = "before the first operation" if last else "after the last operation"
    operation = last[0] if last else None
    return Cut(
        after=round(after, 1),
        operation=outside if operation is None else str(operation),
        within=operation is not None,
        converged=ran.exit_code == 0 and again.exit_code == 0 and not changed,
        seconds=seconds,
        said="" if ran.exit_code == 0 else ran.output[-2000:],
    )


if __name__ == "__main__":
    main()
