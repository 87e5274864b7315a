"""Running pyinfra as an operator does, and reading what it says it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fortyninety.checkout import ROOT
from lab import stages
from lab.hosts import LabHost
from lab.stages import deploy_command, operations
from lab.tiny_model import PLAIN

LAB_INVENTORY = "inventory/lab.py"

# Everything that a deploy could have written to, with the time of each last change.
FINGERPRINT = (
    "find /etc /opt /srv /usr /var/lib/dpkg /boot /root -xdev -printf '%p %C@\\n' | "
    "sort | sha256sum"
)


@dataclass
class Result:
    """How a run ended, what it printed, and which operations changed or failed on which hosts."""

    exit_code: int
    output: str
    changed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    unchanged: dict[str, list[str]] = field(default_factory=dict)


def deploy(
    *arguments: str,
    inventory: str = LAB_INVENTORY,
    project: Path = ROOT,
    deploy_file: str = "deploy.py",
) -> Result:
    """Run the deploy to its end, with pyinfra's own JSON result where it prints one.

    `project` is the tree to deploy from, such as a copy in which an operator changed something.
    """
    ran = subprocess.run(
        deploy_command(inventory, "--json", *arguments, deploy_file=deploy_file),
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    result = Result(ran.returncode, ran.stdout + ran.stderr)
    # A run that was refused, or whose every host failed, prints no result.
    if ran.stdout.startswith("{"):
        for operation in json.loads(ran.stdout)["results"]["operations"]:
            for outcome, where in (
                ("success", result.changed),
                ("error", result.failed),
                ("no_change", result.unchanged),
            ):
                if operation[outcome]:
                    where[operation["name"]] = sorted(operation[outcome])
    return result


@contextmanager
def deploying(
    *arguments: str,
    inventory: str = LAB_INVENTORY,
    project: Path = ROOT,
    deploy_file: str = "deploy.py",
) -> Iterator[subprocess.Popen[str]]:
    """A deploy under way, and what it prints, line by line, as it comes; waits for its end."""
    with subprocess.Popen(
        deploy_command(inventory, *arguments, deploy_file=deploy_file),
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(project)},
    ) as process:
        yield process


def deploy_killed_in(
    stage: str,
    *arguments: str,
    inventory: str = LAB_INVENTORY,
    project: Path = ROOT,
    when: Callable[[], None] | None = None,
) -> str:
    """Start the deploy and kill the controller, without warning, as the stage's operation begins.

    `stage` is the beginning of an operation's name, such as "Engine | Install vLLM"; `when`, if
    given, waits until the moment inside it has come. Returns what was printed until then.
    """
    seen: list[str] = []
    with deploying(*arguments, inventory=inventory, project=project) as process:
        assert process.stdout is not None
        for operation in operations(process.stdout, seen):
            if f"{operation.stage} | {operation.name}".startswith(stage):
                if when is not None:
                    when()
                process.send_signal(signal.SIGKILL)
                break
        else:
            process.wait()
            raise AssertionError(f"the run ended before {stage!r}:\n{''.join(seen)}")
    return "".join(seen)


def deploy_whose_host_loses_power_in(stage: str, host: LabHost) -> None:
    """Start the deploy, cut the host's power as the stage's operation begins, and boot it again.

    The controller is ended with it: how it notices is tested where a host falls silent.
    """
    deploy_killed_in(stage, when=host.cut_power)
    host.start()


def host_tests(*arguments: str, inventory: str = LAB_INVENTORY) -> Result:
    """Run `pytest tests/host` against an inventory, as the README says."""
    ran = stages.host_tests(inventory, *arguments)
    return Result(ran.returncode, ran.stdout + ran.stderr)


# Why host tests are skipped on every lab host.
NOT_IN_THE_LAB = ("there is no card to measure",)
# And on those that serve the plain model.
NOT_OF_PLAIN = ("quantization is None, for which", "kv_cache_dtype is 'auto', for which")


def not_shown_by(host: LabHost) -> tuple[str, ...]:
    """Why further host tests are skipped on a host that serves the plain model."""
    return NOT_OF_PLAIN if host.choice.model is PLAIN else ()


def skipped(ran: Result, *expected: str) -> list[str]:
    """The lines of pytest's summary about tests that were skipped for none of the reasons given."""
    lines = [line for line in ran.output.splitlines() if line.startswith("SKIPPED")]
    return [line for line in lines if not any(reason in line for reason in expected)]


def write_inventory(directory: Path, text: str) -> str:
    """An inventory file of a test's own, in the group `lab` by its name."""
    path = directory / "lab.py"
    path.write_text(text)
    return str(path)
