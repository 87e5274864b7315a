"""Which fronts share an address, and what is refused of them before any is looked at."""

from __future__ import annotations

import pytest

from fortyninety.gateway.shared_address import Place, place_of, sharing_problems
from fortyninety.settings.model import Settings
from tests.unit.readings import settings

SHARED = "192.0.2.10/24"
ADDRESSES = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3"}


def front(**changes: object) -> Settings:
    return settings(**{"roles": ["gateway"], "virtual_address": SHARED, **changes})


THREE = {name: front() for name in ADDRESSES}


def problems(fronts: dict[str, Settings], **addresses: str | None) -> list[tuple[str, str, str]]:
    found = sharing_problems(fronts, {**ADDRESSES, **addresses})
    return [(each.host, each.subject, each.found) for each in found]


def test_a_host_shares_none_unless_it_is_asked_to() -> None:
    assert settings().virtual_address is None
    assert place_of("a", {"a": settings()}, ADDRESSES) is None
    assert problems({"a": settings()}) == []


def test_each_front_knows_the_others() -> None:
    assert place_of("b", THREE, ADDRESSES) == Place(SHARED, "192.0.2.2", ("192.0.2.1", "192.0.2.3"))
    assert problems(THREE) == []


def test_fronts_of_another_address_are_none_of_them() -> None:
    two = THREE | {"c": front(virtual_address="192.0.2.11/24")}
    place = place_of("a", two, ADDRESSES)
    assert place is not None and place.peers == ("192.0.2.2",)


def test_one_front_alone_is_not_refused() -> None:
    place = place_of("a", {"a": front()}, ADDRESSES)
    assert place is not None and place.peers == () and problems({"a": front()}) == []


def test_every_front_derives_one_number_from_the_address() -> None:
    numbers = {Place(f"192.0.2.{last}/24", "192.0.2.1", ()).router_id for last in range(1, 255)}
    assert min(numbers) >= 1 and max(numbers) <= 255 and len(numbers) > 100
    assert Place("2001:db8::1/64", "192.0.2.1", ()).router_id == (
        Place("2001:db8:0::1/64", "192.0.2.2", ()).router_id
    )


def test_a_host_that_is_no_front_is_refused() -> None:
    assert problems(THREE | {"a": front(roles=["engine"])}) == [
        ("a", "virtual_address", "192.0.2.10/24, and roles = ['engine']")
    ]


def test_another_prefix_is_refused() -> None:
    assert problems(THREE | {"b": front(virtual_address="192.0.2.10/25")}) == [
        ("b", "virtual_address", "192.0.2.10/25")
    ]


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (None, "of the host, which cannot be resolved"),
        ("127.0.0.1", "127.0.0.1"),
        ("192.0.2.10", "192.0.2.10"),
    ],
)
def test_an_address_that_others_do_not_reach_a_front_by_is_refused(
    address: str | None, found: str
) -> None:
    assert problems(THREE, b=address) == [("b", "ssh_hostname", found)]


def test_one_address_of_two_fronts_is_refused() -> None:
    assert [each[0] for each in problems(THREE, b="192.0.2.1")] == ["a", "b"]


def test_a_front_that_is_reached_by_the_other_family_is_refused() -> None:
    assert problems(THREE, c="2001:db8::3") == [("c", "ssh_hostname", "2001:db8::3")]
    six = {name: front(virtual_address="2001:db8::10/64") for name in ADDRESSES}
    assert [each[0] for each in problems(six)] == ["a", "b", "c"]
    reached = {name: f"2001:db8::{number}" for number, name in enumerate(ADDRESSES, 1)}
    assert problems(six, **reached) == []
