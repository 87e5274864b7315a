"""Read a pyinfra inventory in a process of its own, for those that pyinfra must not patch.

    python -m fortyninety.fleet.read_inventory INVENTORY

prints {"hosts": [...]} or {"unusable": why}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pyinfra_cli.util import json_encode

from fortyninety.fleet.inventory import InventoryUnusable, read_inventory
from fortyninety.text.short_repr import short_repr


def main() -> None:
    """Print the hosts of the inventory on the command line, or why there are none."""
    page: dict[str, Any]
    # Programs that the inventory runs print as well, and theirs is no answer.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        _, inventory = read_inventory(sys.argv[1])
    except InventoryUnusable as unusable:
        page = {"unusable": str(unusable)}
    else:
        page = {
            "hosts": [
                {
                    "name": host.name,
                    "groups": list(host.groups),
                    "data": host.data.dict(),  # type: ignore[no-untyped-call]
                }
                for host in inventory
            ]
        }
    with answer:
        print(json.dumps(page, default=_encoded), file=answer)


def _encoded(value: object) -> object:
    """As pyinfra shows what JSON has no form for, or as Python does."""
    try:
        return json_encode(value)
    except TypeError:
        return short_repr(value)


if __name__ == "__main__":
    main()
