"""Which hosts a limit names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fortyninety.fleet.limit import MatchesNothing, limited


@dataclass(frozen=True)
class Named:
    """A host with what the limit looks at."""

    name: str
    groups: tuple[str, ...] = ()


FLEET = [Named("box-1", ("two_cards",)), Named("box-2", ("two_cards",)), Named("attic", ("old",))]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ([], ["box-1", "box-2", "attic"]),
        (["attic"], ["attic"]),
        (["two_cards"], ["box-1", "box-2"]),
        (["box-*"], ["box-1", "box-2"]),
        (["attic", "two_cards"], ["box-1", "box-2", "attic"]),
        (["box-1", "two_cards"], ["box-1", "box-2"]),
    ],
)
def test_a_limit_names_hosts_groups_and_patterns_in_the_inventorys_order(
    limit: list[str], expected: list[str]
) -> None:
    assert [host.name for host in limited(FLEET, limit)] == expected


def test_one_mistyped_name_among_right_ones_is_refused() -> None:
    with pytest.raises(MatchesNothing, match=r"--limit bxo-1; there are box-1, box-2, attic"):
        limited(FLEET, ["box-2", "bxo-1"])
