"""What befalls a rollout under load: canaries that do badly, controllers and boxes that end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import hosts
from lab.hub import hub_process
from tests.lab.deploys import host_tests
from tests.lab.faulty_engine import make_faulty, make_sound
from tests.lab.rolling_out import Fleet, phases

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

# What a soak needs to judge speed on a slow machine.
LONG_SOAK = ("--soak", "300")
DONE = ["done", "done", "done"]
STOPPED = ["failed-restored", "prepared", "prepared"]


@pytest.fixture(scope="module")
def fleet(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three boxes behind a front, and somebody who asks it."""
    del lab
    yield Fleet.started(3, tmp_path_factory.mktemp("rollout"), engine_arguments=[flag(20)])
    hosts.down()


@contextmanager
def faulty(fleet: Fleet, how: str) -> Iterator[None]:
    """The first box does badly with what it gets next."""
    make_faulty(fleet.boxes[0], how)
    try:
        yield
    finally:
        make_sound(fleet.boxes[0])


def flag(number: int) -> str:
    """What the engines are told, which changes nothing that a client sees."""
    return f"--max-logprobs={number}"


def changes(fleet: Fleet, number: int) -> None:
    """Write a flag into the inventory that no box has."""
    fleet.is_to_have(engine_arguments=[flag(number)])
    assert fleet.having(flag(number)) == []


def all_have(fleet: Fleet, number: int) -> bool:
    """Whether every box runs with this flag and takes requests."""
    return len(fleet.having(flag(number))) == len(fleet.boxes) and fleet.drained() == []


def none_has(fleet: Fleet, number: int) -> bool:
    """Whether no box runs with this flag, and every one takes requests."""
    return fleet.having(flag(number)) == [] == fleet.drained()


def test_it_goes_back_as_it_came_and_nobody_else_rolls_out_meanwhile(fleet: Fleet) -> None:
    changes(fleet, 21)
    with fleet.asked_meanwhile(), fleet.under_way() as under_way:
        rollout = under_way.reached("changing")
        second = fleet.run("rollout", "--yes")
        code, result = under_way.ended()
    assert (code, phases(result)) == (0, DONE), result
    assert second.returncode == 2 and "another rollout is under way" in second.stdout, second
    with fleet.asked_meanwhile():
        code, back = fleet.ended("rollback", "--rollout", rollout)
    assert (code, phases(back)) == (0, DONE), back
    assert none_has(fleet, 21)


@pytest.mark.parametrize("how", ["garbage", "hang"])
def test_a_canary_that_starts_and_does_not_answer(fleet: Fleet, how: str) -> None:
    changes(fleet, 22)
    with faulty(fleet, how), fleet.asked_meanwhile():
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (1, STOPPED), result
    assert "gives no completion" in result["units"][0]["why"], result
    assert none_has(fleet, 22)


def test_a_box_without_power_in_its_batch(fleet: Fleet) -> None:
    changes(fleet, 23)
    with fleet.asked_meanwhile():
        with fleet.under_way() as under_way:
            under_way.reached("phase", "gate")
            fleet.boxes[0].cut_power()
            code, result = under_way.ended()
        assert (code, phases(result)) == (4, ["failed", "prepared", "prepared"]), result
        fleet.boxes[0].start()
        # It boots meanwhile, and the others are needed for the load.
        code, result = fleet.roll_out("--resume", result["rollout"])
    assert code == 0, result
    assert all_have(fleet, 23)


def test_a_canary_that_is_twice_as_slow(fleet: Fleet) -> None:
    changes(fleet, 24)
    with faulty(fleet, "slow"), fleet.asked_meanwhile(streams=6):
        code, result = fleet.roll_out(*LONG_SOAK)
    assert (code, phases(result)) == (1, STOPPED), result
    assert "a token, others" in result["units"][0]["why"], result
    assert none_has(fleet, 24)


def test_a_controller_killed_in_every_phase(fleet: Fleet) -> None:
    changes(fleet, 25)
    with fleet.asked_meanwhile():
        with fleet.under_way() as under_way:
            rollout = under_way.killed("preparing")
        for words in (("changing",), ("phase", "changing")):
            with fleet.under_way("--resume", rollout) as under_way:
                under_way.killed(*words)
        # The first box has it by now, and the last one not.
        found = host_tests("-k", "siblings", inventory=str(fleet.inventory))
        assert found.exit_code == 1 and f"it serves with {flag(25)}" in found.output, found.output
        for words in (("phase", "gate"), ("soaking",)):
            with fleet.under_way("--resume", rollout) as under_way:
                under_way.killed(*words)
        code, result = fleet.roll_out("--resume", rollout)
    assert code == 0, result
    assert all_have(fleet, 25)
    found = host_tests("-k", "siblings", inventory=str(fleet.inventory))
    assert found.exit_code == 0, found.output


def test_a_controller_killed_as_it_puts_a_canary_back(fleet: Fleet) -> None:
    changes(fleet, 26)
    with fleet.asked_meanwhile():
        with fleet.under_way("--soak", "30") as under_way:
            under_way.reached("soaking")
            # Nobody notices: it answers what is under way, and fronts ask the other boxes.
            fleet.boxes[0].ssh("systemctl stop fortyninety-gateway", check=True)
            rollout = under_way.killed("restoring")
        # The rest of the restore is waited for, and the box is tried again, with its gateway.
        code, result = fleet.roll_out("--resume", rollout)
    assert (code, phases(result)) == (0, DONE), result
    assert all_have(fleet, 26)


def test_gateways_restart(fleet: Fleet) -> None:
    """That of the box that changes, and that of one which serves meanwhile."""
    changes(fleet, 27)
    with fleet.asked_meanwhile(), fleet.under_way() as under_way:
        under_way.reached("phase", "gate")
        for box in (fleet.boxes[0], fleet.boxes[-1]):
            box.ssh("systemctl restart fortyninety-gateway", check=True)
        code, result = under_way.ended()
    assert code == 0, result
    assert all_have(fleet, 27)


def test_the_hub_is_gone(fleet: Fleet) -> None:
    """Nothing of it is needed for a flag; for a commit that no box has it is."""
    changes(fleet, 28)
    page = hub_process.root_directory() / fleet.client.model / "README.md"
    hub_process.down()
    try:
        with fleet.asked_meanwhile():
            code, result = fleet.roll_out()
            page.write_text("another commit\n")
            refused = fleet.run("rollout", *("--batch", "1", "--soak", "5", "--yes"))
    finally:
        hub_process.up()
    assert code == 0, result
    units = json.loads(refused.stdout)["result"]["units"]
    assert refused.returncode == 1, refused
    assert all("is down or out of reach" in each["why"] for each in units), units
    assert all_have(fleet, 28)
