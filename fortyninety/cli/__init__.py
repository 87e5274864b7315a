"""The command line `fortyninety`."""

from __future__ import annotations

import click

from fortyninety.cli.check import check
from fortyninety.cli.drift import drift
from fortyninety.cli.engine import engine
from fortyninety.cli.fit import fit
from fortyninety.cli.rollback import rollback
from fortyninety.cli.snapshot import snapshot
from lab.cli import lab


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fortyninety")
def main() -> None:
    """Bare RTX 4090 boxes to a verified fleet that serves Llama 3.1 70B with vLLM.

    A deploy itself is pyinfra's:

    \b
        pyinfra inventory/prod.py deploy.py          deploy, with a look at the changes first
        pyinfra --dry inventory/prod.py deploy.py    only look
    """


main.add_command(check)
main.add_command(drift)
main.add_command(engine)
main.add_command(fit)
main.add_command(lab)
main.add_command(rollback)
main.add_command(snapshot)
