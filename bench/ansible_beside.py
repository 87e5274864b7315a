"""Compare a converged deploy with an Ansible playbook of the same checks, by turns."""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.alone import refuse_a_lab_that_is_up
from bench.converge import CARDS, INVENTORY, SAVED, save_converged_host
from bench.hosts_cpu import hosts_cpu
from fortyninety.checkout import ROOT
from lab import hosts
from lab.errors import LabError
from lab.hosts import ssh
from lab.stages import deploy, deploy_command

# Seconds for one run: the playbook took 216 for eight hosts on two cores.
LONGEST = 1800
PLAYBOOK = ROOT / "bench" / "ansible" / "playbook.yaml"
_RECAP = re.compile(r"^(\S+)\s*: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--hosts", "count", default=8, show_default=True, help="How many lab hosts.")
@click.option("--pairs", default=3, show_default=True, help="Runs of each, by turns.")
@click.option("--ansible", required=True, help="The ansible-playbook of a venv of its own.")
@click.option("--as-it-is", is_flag=True, help="Use the converged lab that is up, and leave it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(count: int, pairs: int, ansible: str, as_it_is: bool, as_json: bool) -> None:
    """Run a converged deploy and the playbook by turns: wall, and processor seconds.

    Ansible has pipelining, ControlPersist and a fork for each host. A run that changes anything, or
    finds anything wrong, is an error and not a number. Hosts' processor is without the engine's.

    \b
    Examples:
      python3 -m venv /tmp/ansible && /tmp/ansible/bin/pip install ansible-core
      python -m bench.ansible_beside --hosts 8 --ansible /tmp/ansible/bin/ansible-playbook
    """
    if not as_it_is:
        refuse_a_lab_that_is_up()
    try:
        if not as_it_is:
            save_converged_host()
            hosts.up(count, cards=CARDS, saved=SAVED)
        ran = deploy(INVENTORY)
        if ran.exit_code != 0:
            raise LabError(f"the deploy before the measured ones failed:\n{ran.output}")
        report = _by_turns(pairs, ansible)
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        if not as_it_is:
            hosts.down()
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)


def _by_turns(pairs: int, ansible: str) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {"deploy": [], "playbook": []}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        wanted = [sys.executable, "-m", "bench.wanted", str(folder), INVENTORY]
        _run(wanted, {}, lambda _: None)
        playbook, environment = _playbook(folder, ansible)
        for _ in range(pairs):
            runs["deploy"].append(_run(deploy_command(INVENTORY), {}, _changed_nothing))
            runs["playbook"].append(_run(playbook, environment, _all_right))
    ratios = {
        key: round(
            statistics.median(
                theirs[key] / ours[key]
                for ours, theirs in zip(runs["deploy"], runs["playbook"], strict=True)
            ),
            1,
        )
        for key in ("wall_seconds", "controller_cpu_seconds", "hosts_cpu_seconds")
    }
    return {"hosts": len(hosts.hosts()), "runs": runs, "median_ratio": ratios}


def _playbook(folder: Path, ansible: str) -> tuple[list[str], dict[str, str]]:
    """Ansible's command for the lab's hosts, and the settings that are fair to it."""
    inventory = json.loads((folder / "hosts.json").read_text())
    for host in hosts.hosts():
        inventory["all"]["hosts"][host.name] |= {
            "ansible_host": host.address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(ssh.key_file()),
            "ansible_python_interpreter": "/usr/bin/python3",
        }
    path = folder / "inventory.json"
    path.write_text(json.dumps(inventory))
    believed = f"-o UserKnownHostsFile={ssh.known_hosts_file()} -o StrictHostKeyChecking=yes"
    environment = {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_FORKS": str(len(hosts.hosts())),
        "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=60s {believed}",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "control"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "temporary"),
        "ANSIBLE_NOCOLOR": "1",
    }
    # What is wrong is said, and nothing is installed or put right.
    return [ansible, "--check", "-i", str(path), str(PLAYBOOK)], environment


def _changed_nothing(output: str) -> None:
    (total,) = re.findall(r"^\s*Grand total\s+(.*)$", output, re.M) or [""]
    numbers = total.split()
    # Operations, and of those changed, failed and unchanged.
    if len(numbers) != 4 or numbers[1:3] != ["-", "-"]:
        raise LabError(f"the deploy was not converged:\n{output}")


def _all_right(output: str) -> None:
    found = _RECAP.findall(output)
    if len(found) != len(hosts.hosts()) or any(each[2:] != ("0", "0", "0") for each in found):
        raise LabError(f"the playbook found a host that is not converged:\n{output}")


def _run(
    command: Sequence[str], environment: dict[str, str], judge: Callable[[str], None]
) -> dict[str, Any]:
    on_hosts, before = hosts_cpu(), resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    try:
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{command[0]} has not ended after {LONGEST} s") from late
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode != 0:
        raise LabError(f"{command[0]} ended with {ran.returncode}:\n{ran.stdout}")
    judge(ran.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_seconds": round(wall, 2),
        "controller_cpu_seconds": round(cpu, 2),
        "hosts_cpu_seconds": round(hosts_cpu() - on_hosts, 2),
        "load_average": round(os.getloadavg()[0], 1),
    }


def _print(report: dict[str, Any]) -> None:
    table = Table(title=f"Converged, {report['hosts']} hosts, by turns")
    for heading in ("", "wall s", "controller CPU s", "hosts CPU s", "load"):
        table.add_column(heading)
    for pair in zip(*report["runs"].values(), strict=True):
        for name, run in zip(report["runs"], pair, strict=True):
            table.add_row(name, *(f"{value:g}" for value in run.values()))
    table.add_row("median ratio", *(f"{value:g}" for value in report["median_ratio"].values()))
    Console().print(table)


if __name__ == "__main__":
    main()
