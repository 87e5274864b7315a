"""Load the deploy of a run: one's own of the working folder, else the project's.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

from pyinfra.api.state import State, StateStage
from pyinfra_cli.exceptions import UnexpectedExternalError
from pyinfra_cli.util import load_deploy_file

from fortyninety.checkout import DEPLOY_FILE
from fortyninety.fleet.faults import inventory_fault
from fortyninety.fleet.inventory import InventoryUnusable

OWN = "deploy.py"
# What a deploy does beforehand.
PREPARE = "prepare.py"


def deploy_file(name: str = OWN) -> str:
    """That of the working folder, which pyinfra would take there; else the project's."""
    own, projects = Path(name), DEPLOY_FILE.with_name(name)
    return name if own.is_file() and own.resolve() != projects else str(projects)


def load_deploy(state: State, name: str = OWN) -> None:
    """Have every host of a run read the deploy file, or that of another `name`.

    Raises InventoryUnusable where one's own cannot be run, and what pyinfra raises of hosts.
    """
    file = deploy_file(name)
    # What files of one's own are relative to.
    state.cwd = str(Path.cwd())
    state.set_stage(StateStage.Prepare)
    try:
        # What it prints is no answer of the command.
        with redirect_stdout(sys.stderr):
            load_deploy_file(state, file)
    except UnexpectedExternalError as error:
        if file != name:
            raise error.exception from error
        raise InventoryUnusable(inventory_fault(file, error)) from error
