"""The command line `fortyninety`."""

from __future__ import annotations

import click

from fortyninety.checkout import ROOT
from fortyninety.cli.check import check
from fortyninety.cli.drift import drift
from fortyninety.cli.ending import EndingGroup
from fortyninety.cli.engine import engine
from fortyninety.cli.fit import fit
from fortyninety.cli.rollback import rollback
from fortyninety.cli.snapshot import snapshot
from fortyninety.cli.unlock import unlock


class Commands(EndingGroup):
    """The commands; those of the lab are loaded when asked for, and there in a checkout alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the alphabet."""
        return sorted([*super().list_commands(ctx), *(["lab"] if _has_lab() else [])])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name == "lab" and _has_lab():
            from lab.cli import lab  # noqa: PLC0415

            return lab
        return super().get_command(ctx, cmd_name)


def _has_lab() -> bool:
    return (ROOT / "deploy.py").is_file() and (ROOT / "lab" / "cli.py").is_file()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fortyninety")
def main() -> None:
    """Bare RTX 4090 boxes to a verified fleet that serves Llama 3.1 70B with vLLM.

    A deploy itself is pyinfra's:

    \b
        pyinfra inventory/prod.py deploy.py          deploy, with a look at the changes first
        pyinfra --dry inventory/prod.py deploy.py    only look

    What each command ends with is in its own help. 70 is a defect of fortyninety itself, whose
    traceback FORTYNINETY_TRACEBACK=1 prints; 130 is Ctrl-C.
    """


main.add_command(check)
main.add_command(drift)
main.add_command(engine)
main.add_command(fit)
main.add_command(rollback)
main.add_command(snapshot)
main.add_command(unlock)
