"""A cap for all cards or one for each: whose it is, and what cannot be had."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.cards.power import (
    PowerLimit,
    cap_arguments,
    cap_problems,
    cap_settings_problems,
    caps_in_words,
    forgetful,
    uncapped,
)
from fortyninety.problem import Problem
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.reading import HostReading
from tests.unit.readings import bare_host, default_data, gpu, settings

FIRST, SECOND = "0000:01:00.0", "0000:02:00.0"
UUIDS = ("GPU-0a", "GPU-1b")


def two_cards(*limits: float, **changes: Any) -> HostReading:
    cards = [
        gpu(index, uuid=uuid, bus=bus, power_limit=limit, **changes)
        for index, (uuid, bus, limit) in enumerate(
            zip(UUIDS, (FIRST, SECOND), limits or (450.0, 450.0), strict=True)
        )
    ]
    return bare_host(cards__gpus=cards, cards__addresses=[FIRST, SECOND])


def problems(limit: PowerLimit, reading: HostReading) -> list[str]:
    return [str(each) for each in cap_problems("box1", settings(power_limit=limit), reading)]


@pytest.mark.parametrize("second", [UUIDS[1], SECOND, "00000000:02:00.0"])
def test_each_card_has_its_own_cap_by_uuid_or_by_address_however_it_is_written(
    second: str,
) -> None:
    limit = {UUIDS[0]: 400, second: 350}
    assert problems(limit, two_cards()) == []
    assert uncapped(two_cards(400.0, 350.0), limit) == []
    assert uncapped(two_cards(400.0, 400.0), limit) == [
        "GPU 1 (0000:02:00.0) is capped at 400.0 W; expected 350 W"
    ]


def test_a_card_keeps_its_cap_when_the_others_number_changes() -> None:
    reading = bare_host(cards__gpus=[gpu(0, uuid=UUIDS[1], bus=FIRST, power_limit=350.0)])
    assert uncapped(reading, {UUIDS[0]: 400, UUIDS[1]: 350}) == []


def test_a_card_whose_persistence_mode_is_off_forgets_its_cap() -> None:
    assert forgetful(two_cards(400.0, 400.0)) == []
    (first, second) = forgetful(two_cards(400.0, 400.0, persistence=False))
    assert first == f"GPU 0 ({FIRST}) has persistence mode off; expected on"
    assert second.startswith("GPU 1 ")


def test_caps_become_one_command_for_all_or_one_a_card() -> None:
    assert cap_arguments(400) == ["--power-limit=400"]
    assert cap_arguments({UUIDS[0]: 400, SECOND: 350}) == [
        "--id=GPU-0a --power-limit=400",
        "--id=0000:02:00.0 --power-limit=350",
    ]
    assert caps_in_words(400) == "every card at 400 W"
    assert caps_in_words({"a": 400, "b": 350, "c": 350}) == "each card at its own 350 and 400 W"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({UUIDS[0]: 400}, "power_limit is without GPU 1; expected a cap for every card"),
        (
            {UUIDS[0]: 400, UUIDS[1]: 400, "GPU-dead": 300},
            "power_limit is for GPU-dead; expected UUIDs or PCI addresses of its cards: GPU-0a",
        ),
        (
            {UUIDS[0]: 400, FIRST: 400, SECOND: 400},
            "power_limit is there twice for GPU 0; expected one cap a card",
        ),
        (
            {UUIDS[0]: 400, UUIDS[1]: 600},
            "power_limit is 600 W; expected from 150 to 450 W, the own limits of GPU 1",
        ),
    ],
)
def test_caps_that_do_not_match_the_cards_are_refused(limit: dict[str, int], expected: str) -> None:
    (problem,) = problems(limit, two_cards())
    assert problem.startswith(f"box1: {expected}")


def test_before_there_is_a_driver_addresses_are_checked_and_uuids_believed() -> None:
    bare = bare_host(cards__addresses=[FIRST, SECOND])
    assert problems({UUIDS[0]: 400, SECOND: 350}, bare) == []
    assert problems({FIRST: 400}, bare)[0].startswith("box1: power_limit is for 1 cards; expected")
    (problem,) = problems({FIRST: 400, "0000:09:00.0": 350}, bare)
    assert problem.startswith("box1: power_limit is for 0000:09:00.0; expected UUIDs or PCI")


def test_without_an_answer_of_the_cards_no_cap_is_taken_for_granted() -> None:
    (found,) = uncapped(bare_host(cards__error="No devices were found"), 400)
    assert found == "no card answers (No devices were found)"


def test_a_cap_that_no_such_card_takes_is_refused_by_its_key() -> None:
    limit = {UUIDS[0]: 400, UUIDS[1]: 9000}
    (problem,) = cap_settings_problems("box1", settings(power_limit=limit))
    assert str(problem) == (
        "box1: power_limit of GPU-1b is 9000 W; expected from 150 to 600 W for NVIDIA GeForce RTX "
        "4090"
    )


@pytest.mark.parametrize("limit", [{"0": 400}, {"GPU-0a": "400"}, {"GPU-0a": 0}, [400, 350]])
def test_a_mapping_of_something_else_is_refused_in_the_operators_words(limit: object) -> None:
    found = parse_settings("box1", {**default_data(), "power_limit": limit})
    assert isinstance(found, list)
    (problem,) = found
    assert isinstance(problem, Problem)
    assert "a mapping from each card's UUID or PCI address to one" in str(problem)
