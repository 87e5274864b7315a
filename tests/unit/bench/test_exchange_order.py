"""What is computed of an exchange where the answer is known."""

from __future__ import annotations

import pytest

from bench.exchange_order import LLAMA, Cables, played


def test_one_host_takes_what_its_cable_takes_and_a_pause_for_each_part() -> None:
    assert played(1, [2.0, 1.0], Cables(0.5)) == pytest.approx(6)
    assert played(1, [2.0, 1.0], Cables(0.5, pause=1)) == pytest.approx(8)
    assert played(1, [2.0, 1.0], Cables(0.5, stream=0.25)) == pytest.approx(12)


def test_the_second_host_is_a_part_behind_the_first() -> None:
    assert played(2, [1.0] * 3, Cables(1.0)) == pytest.approx(4)


def test_two_side_by_side_share_their_senders_cable() -> None:
    assert played(2, [1.0] * 2, Cables(1.0, at_once=2)) == pytest.approx(3)


@pytest.mark.parametrize("hosts", [4, 8, 32])
def test_one_part_at_a_time_is_the_quicker_order_for_the_70b(hosts: int) -> None:
    one, two = (played(hosts, LLAMA, Cables(0.125, 0.5, at_once=count)) for count in (1, 2))
    assert one < 0.8 * two
