"""The disposable hosts that are up; `fortyninety lab up` makes them."""

import sys
from pathlib import Path

from pyinfra.api.exceptions import InventoryError

# From any folder: the lab is a checkout's alone, and is not installed with it.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from lab.errors import LabError
from lab.inventory import inventory

try:
    lab = inventory()
except LabError as error:
    # As pyinfra's own: one line and no traceback.
    raise InventoryError(str(error)) from error
