"""What is answered once in the place of pyinfra says what pyinfra says."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pyinfra
import pytest
from pyinfra.api import arguments, connectors, util
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from fortyninety.connection import quicker

DEPLOY = """
def deep(ask, deepness):
    if deepness:
        return deep(
            ask,
            deepness - 1,
        )
    return [ask() for _ in range(1)][0]
found = [deep(ask, 0), deep(ask, 3)]
"""


def state(deploy: str | None) -> State:
    """A run at its second file, of a deploy in the first."""
    return cast(State, SimpleNamespace(current_deploy_filename=deploy, current_op_file_number=1))


def run(ask: Callable[[], list[int]]) -> list[list[int]]:
    """What a deploy file gets that asks at two places."""
    names: dict[str, Any] = {"ask": ask}
    exec(compile(DEPLOY, "/nowhere/deploy.py", "exec"), names)
    found: list[list[int]] = names["found"]
    return found


@pytest.mark.parametrize("deploy", ["/nowhere/deploy.py", "/nowhere/another.py", None])
@pytest.mark.parametrize("command_line", [True, False])
def test_an_operation_has_the_place_that_pyinfra_gives_it(
    monkeypatch: pytest.MonkeyPatch, deploy: str | None, command_line: bool
) -> None:
    monkeypatch.setattr(pyinfra, "is_cli", command_line)
    its = state(deploy)
    both = run(lambda: [quicker.place_in_deploy(its), util.get_operation_order_from_stack(its)])
    for ours, pyinfras in both:
        assert ours == pyinfras
    assert (both[0] == both[1]) == (deploy == "/nowhere/another.py")


def test_pyinfra_asks_these() -> None:
    quicker.install()
    operation = importlib.import_module("pyinfra.api.operation")
    assert operation.get_operation_order_from_stack is quicker.place_in_deploy
    assert arguments.all_global_arguments() is arguments.all_global_arguments()
    assert connectors.get_all_connectors() is connectors.get_all_connectors()


def test_a_host_s_data_are_its_own_then_its_groups_the_last_first() -> None:
    quicker.install()
    inventory = Inventory(
        (["box"], {"all": 1, "own": 1, "first": 1, "last": 1}),
        override_data={"given": 5},
        first=([("box", {"own": 2})], {"own": 3, "given": 3, "first": 3, "last": 3}),
        last=(["box"], {"own": 4, "given": 4, "last": 4, "none": None}),
    )
    data = inventory.get_host("box").data
    assert (data.all, data.first, data.last, data.own, data.given) == (1, 3, 4, 2, 5)
    assert data.none is None
    assert data.get("absent", "default") == "default"
    with pytest.raises(AttributeError, match="Host `box` has no data `absent`"):
        _ = data.absent
    data.own = [6]
    assert data.own == [6]
    # A copy, as pyinfra gives: what is done to it stays with who asked.
    data.own.append(7)
    assert data.own == [6]
    assert data.dict() == {
        "all": 1, "first": 3, "last": 4, "none": None, "own": [6], "given": 5
    }  # fmt: skip


def test_groups_of_another_inventory_are_others() -> None:
    quicker.install()
    for value in (1, 2):
        inventory = Inventory((["box"], {}), boxes=(["box"], {"key": value}))
        assert inventory.get_host("box").data.key == value
