"""The command line `fortyninety`."""

from __future__ import annotations

import sys

import click

from fortyninety.checkout import ROOT, own_version
from fortyninety.cli.ask import ask
from fortyninety.cli.bench import bench
from fortyninety.cli.check import check
from fortyninety.cli.deploy import deploy
from fortyninety.cli.doctor import doctor
from fortyninety.cli.drain import drain, undrain
from fortyninety.cli.drift import drift
from fortyninety.cli.ending import EndingGroup
from fortyninety.cli.engine import engine
from fortyninety.cli.fit import fit
from fortyninety.cli.history import history
from fortyninety.cli.init import init
from fortyninety.cli.key import key
from fortyninety.cli.logs import logs
from fortyninety.cli.models import models
from fortyninety.cli.monitoring import monitoring
from fortyninety.cli.report import report
from fortyninety.cli.reset import reset
from fortyninety.cli.rollback import rollback
from fortyninety.cli.rollout import rollout
from fortyninety.cli.settings import settings
from fortyninety.cli.snapshot import snapshot
from fortyninety.cli.status import status
from fortyninety.cli.unlock import unlock


class Commands(EndingGroup):
    """The commands; `lab` exists only in a checkout, and is loaded on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in alphabetical order."""
        return sorted([*super().list_commands(ctx), *(["lab"] if _has_lab() else [])])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name == "lab" and _has_lab():
            # No part of an installation, a checkout's own either.
            if str(ROOT) not in sys.path:
                sys.path.append(str(ROOT))
            from lab.cli import lab  # noqa: PLC0415

            return lab
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


main.add_command(ask)
main.add_command(bench)
main.add_command(check)
main.add_command(deploy)
main.add_command(doctor)
main.add_command(drain)
main.add_command(drift)
main.add_command(engine)
main.add_command(fit)
main.add_command(history)
main.add_command(init)
main.add_command(key)
main.add_command(logs)
main.add_command(models)
main.add_command(monitoring)
main.add_command(reset)
main.add_command(report)
main.add_command(rollback)
main.add_command(rollout)
main.add_command(settings)
main.add_command(snapshot)
main.add_command(status)
main.add_command(undrain)
main.add_command(unlock)
