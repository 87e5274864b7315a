"""The disposable hosts that are up; `fortyninety lab up` makes them."""

from pyinfra.api.exceptions import InventoryError

from lab.errors import LabError
from lab.inventory import inventory

try:
    lab = inventory()
except LabError as error:
    # As pyinfra's own: one line and no traceback.
    raise InventoryError(str(error)) from error
