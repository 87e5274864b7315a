"""The command line `fortyninety`."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from fortyninety.checkout import ROOT, own_version
from fortyninety.cli.ending import EndingGroup

# Each is in the module of its name, loaded once it is asked for: to load all of them takes longer
# than most commands.
COMMANDS = (
    *("ask", "bench", "check", "deploy", "doctor", "drain", "drift", "engine", "fit", "history"),
    *("init", "key", "logs", "models", "monitoring", "report", "reset", "rollback", "rollout"),
    *("settings", "snapshot", "status", "undrain", "unlock"),
)
# But for those that share another's.
MODULES = {"undrain": "drain"}


class Commands(EndingGroup):
    """The commands, each loaded on use; `lab` exists only in a checkout."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in alphabetical order."""
        return sorted([*super().list_commands(ctx), *COMMANDS, *(["lab"] if _has_lab() else [])])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name == "lab" and _has_lab():
            # No part of an installation, a checkout's own either.
            if str(ROOT) not in sys.path:
                sys.path.append(str(ROOT))
            from lab.cli import lab  # noqa: PLC0415

            return lab
        if cmd_name in COMMANDS:
            module = import_module(f"fortyninety.cli.{MODULES.get(cmd_name, cmd_name)}")
            found: click.Command = getattr(module, cmd_name)
            return found
        return super().get_command(ctx, cmd_name)


def _has_lab() -> bool:
    return (ROOT / "deploy.py").is_file() and (ROOT / "lab" / "cli.py").is_file()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(own_version(), prog_name="fortyninety")
def main() -> None:
    """Turn bare RTX 4090 boxes into a verified fleet that serves Llama 3.1 70B with vLLM.

    \b
        fortyninety deploy inventory/prod.py          show the changes, ask, deploy
        fortyninety deploy inventory/prod.py --dry    show the changes only

    Each command's help has its exit codes. 70 is a defect of fortyninety itself
    (FORTYNINETY_TRACEBACK=1 prints the traceback), 130 is Ctrl-C.
    """
