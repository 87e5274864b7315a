"""Answer once what pyinfra works out anew for every operation of every host.

The answers are pyinfra's own, and the same all run long: which arguments any operation takes, by
type hints that are evaluated again each time; what a host's groups say together; which connectors
are installed; and where an operation stands in the deploy, for which pyinfra reads the source of
every caller to get at their line numbers. Together they are most of what a converged host costs.
"""

from __future__ import annotations

import importlib
import sys
from copy import copy
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import pyinfra
from pyinfra.api import arguments, connectors, inventory, util
from pyinfra.api.host import HostData
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

_groups_data: WeakKeyDictionary[Inventory, dict[tuple[str, ...], dict[str, Any]]] = (
    WeakKeyDictionary()
)
# The package has a function of the module's name.
_operation: Any = importlib.import_module("pyinfra.api.operation")
_merged = Inventory.get_groups_data


def install() -> None:
    """Put these in the place of pyinfra's. Idempotent."""
    if _operation.get_operation_order_from_stack is place_in_deploy:
        return
    arguments.all_global_arguments = cache(arguments.all_global_arguments)
    connectors.get_all_connectors = cache(connectors.get_all_connectors)
    inventory.get_all_connectors = connectors.get_all_connectors
    Inventory.get_groups_data = groups_data  # type: ignore[method-assign]
    HostData.__getattr__ = of_host  # type: ignore[method-assign]
    _operation.get_operation_order_from_stack = place_in_deploy


def groups_data(hosts: Inventory, groups: list[str]) -> dict[str, Any]:
    """What groups say together, the last of them last. Nobody changes it, nor what they say."""
    known = _groups_data.setdefault(hosts, {})
    key = tuple(groups)
    if (data := known.get(key)) is None:
        data = known[key] = _merged(hosts, groups)  # type: ignore[no-untyped-call]
    return data


def of_host(data: HostData, key: str) -> Any:
    """What the data of a host say of a key, the first that do. Raises AttributeError.

    Each operation asks for every argument that it may take, of which next to none is ever there.
    """
    for each in data.datas:
        values = each() if callable(each) else each
        if key in values:
            return copy(values[key])
    raise AttributeError(f"Host `{data.host}` has no data `{key}`")


def place_in_deploy(state: State) -> list[int]:
    """The lines of the calls that led to an operation, from the deploy file on, without pyinfra's.

    As pyinfra's get_operation_order_from_stack, which orders operations by it.
    """
    calls = []
    frame = sys._getframe(1)
    while frame is not None:
        calls.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]
    calls.reverse()
    if (deploy := state.current_deploy_filename) is not None:
        names = [name for name, _ in calls]
        calls = calls[names.index(deploy) :] if deploy in names else []
    own = [state.current_op_file_number] if pyinfra.is_cli else []
    return own + [line for name, line in calls if not name.startswith(util.PYINFRA_INSTALL_DIR)]
