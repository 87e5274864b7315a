"""Print the last screen of the demonstration: what came out of it, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lab import paths
from lab.hosts import LabHost, hosts, ssh

INVENTORY = "inventory/lab.py"
# A terminal of 24 lines has room for a cause of so many and what stands above and below it.
_CAUSE_ROWS = 12
_COLUMNS = 80


def log_file() -> Path:
    """Return where everything that the deploy and the host tests print is kept."""
    return paths.state_directory() / "demo.log"


def print_success(
    console: Console, host: LabHost, *, question: str, answer: str, model: str, tested: str
) -> None:
    """Print the answer, what it came from, and what to try next."""
    console.print(f"\n[bold]{question}[/bold]")
    console.print(answer, markup=False)
    console.print(
        f"\nAnswered by {model} on {host.name} ({host.address}); {tested}."
        f"\nModel {host.choice}."
        "\nIt has this one sentence in its weights, whatever it is asked.",
        markup=False,
    )
    known_hosts = f"-o UserKnownHostsFile={ssh.known_hosts_file()}"
    _print_table(
        console,
        "Try next",
        [
            ("First", ". .venv/bin/activate"),
            ("Log in", f"fortyninety lab ssh {host.name}"),
            ("Check it", f"fortyninety check {INVENTORY}"),
            ("Change it", f"pyinfra -y {INVENTORY} deploy.py --data power_limit=300"),
            ("What differs", f"fortyninety drift {INVENTORY}"),
            ("Put it back", f"pyinfra -y {INVENTORY} deploy.py"),
            (
                "Ask it",
                f"ssh -i {ssh.key_file()} {known_hosts} -fNL 8000:127.0.0.1:8000 "
                f"root@{host.address}",
            ),
            ("", "curl http://127.0.0.1:8000/v1/models"),
            ("End", "fortyninety lab down"),
        ],
    )


def print_failure(console: Console, where: str, cause: Sequence[str]) -> None:
    """Print where it failed, the first lines of the cause, and what to do."""
    console.print(Text(f"\nbin/demo failed. {where}", style="bold red"))
    width = min(console.width, _COLUMNS) - 2
    rows = [row for line in cause for row in Text(line).wrap(console, width)]
    for row in rows[:_CAUSE_ROWS]:
        console.print(f"  {row.plain.rstrip()}", markup=False, soft_wrap=True)
    if len(rows) > _CAUSE_ROWS:
        console.print("  ...")
    _print_ways_on(console, "What to do", "put that right and run bin/demo again")


def print_stopped(console: Console, where: str) -> None:
    """Print where Ctrl-C stopped it, what is left, and how to go on."""
    console.print(Text(f"\nStopped. {where}", style="bold"))
    _print_ways_on(console, "What is left", "run bin/demo again")


def _print_ways_on(console: Console, title: str, go_on: str) -> None:
    log = log_file()
    _print_table(
        console,
        title,
        [
            ("Go on", f"{go_on}; what is done stays done"),
            *[("Look at it", f".venv/bin/fortyninety lab ssh {host.name}") for host in hosts()[:1]],
            *([("All output", str(log))] if log.exists() else []),
            ("Clean up", ".venv/bin/fortyninety lab down"),
        ],
    )


def _print_table(console: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    console.print(f"\n[bold]{title}[/bold]")
    for name, text in rows:
        console.print(f"  {name:<13}{text}", markup=False, soft_wrap=True)
