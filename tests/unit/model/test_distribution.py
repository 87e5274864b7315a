"""Who gets what from whom: each part leaves the hub once, and time grows slowly with the fleet."""

from __future__ import annotations

import heapq
from collections import Counter

import pytest

from fortyninety.model.distribution import HUB, Distribution, Exhausted, Transfer


def distribute(hosts: int, sizes: list[float], *, peers: bool = True) -> tuple[float, Counter[str]]:
    """Play it through with cables of speed 1: when the last one is done, and who sent how often."""
    names = [f"box{number}" for number in range(hosts)]
    distribution = Distribution(len(sizes), peers=peers)
    for name in names:
        distribution.add(name, [])
    now, sent, busy = 0.0, Counter[str](), set[str]()
    under_way: list[tuple[float, int, Transfer]] = []
    while True:
        for name, order in distribution.assign(set(names) - busy).items():
            assert isinstance(order, Transfer)
            sent[order.sender] += 1
            busy.add(name)
            heapq.heappush(under_way, (now + sizes[order.part], sum(sent.values()), order))
            receivers = [each.receiver for _, _, each in under_way]
            senders = [each.sender for _, _, each in under_way]
            assert len(receivers) == len(set(receivers)), "two parts at once into one host"
            assert not peers or len(senders) == len(set(senders)), "two parts at once out of one"
        if not under_way:
            break
        now, _, done = heapq.heappop(under_way)
        distribution.done(done)
        busy.discard(done.receiver)
    assert all(not distribution.lacks(name) for name in names)
    return now, sent


# The nine shards of Llama 3.1 70B in AWQ-INT4, and its small files, in GB.
LLAMA = [4.9] * 8 + [0.5, 0.1]


@pytest.mark.parametrize(
    ("hosts", "at_most"), [(1, 1.0), (2, 1.15), (4, 1.45), (8, 1.6), (16, 1.8), (64, 2.1)]
)
def test_time_grows_slowly_with_the_number_of_hosts(hosts: int, at_most: float) -> None:
    seconds, sent = distribute(hosts, LLAMA)
    assert seconds / sum(LLAMA) <= at_most
    assert sent[HUB] == len(LLAMA), "a part left the hub twice"


def test_without_peers_every_host_fetches_everything_for_itself() -> None:
    _, sent = distribute(3, LLAMA, peers=False)
    assert sent == {HUB: 3 * len(LLAMA)}


def order_of(distribution: Distribution, name: str) -> Transfer:
    order = distribution.assign([name])[name]
    assert isinstance(order, Transfer), order
    return order


def test_a_host_goes_from_a_bad_peer_to_a_good_one_and_then_to_the_hub() -> None:
    distribution = Distribution(1)
    distribution.add("bad", [0])
    distribution.add("worse", [0])
    distribution.add("new", [])
    senders = []
    for _ in range(3):
        order = order_of(distribution, "new")
        senders.append(order.sender)
        distribution.failed(order, f"{order.sender} failed")
    assert sorted(senders[:2]) == ["bad", "worse"]
    assert senders[2] == HUB
    exhausted = distribution.assign(["new"])["new"]
    assert isinstance(exhausted, Exhausted)
    assert exhausted.reasons == [f"{sender} failed" for sender in senders]


def test_one_complaint_may_be_the_receivers_own_fault_and_two_are_the_senders() -> None:
    distribution = Distribution(2)
    distribution.add("giver", [0, 1])
    for name in ("one", "two", "three"):
        distribution.add(name, [])
    first = order_of(distribution, "one")
    assert first.sender == "giver"
    distribution.failed(first, "wrong bytes")
    second = order_of(distribution, "two")
    assert second.sender == "giver"
    distribution.failed(second, "wrong bytes")
    assert order_of(distribution, "three").sender == HUB


def test_a_hub_that_more_than_half_failed_with_is_not_asked_by_the_others() -> None:
    distribution = Distribution(1)
    for name in ("one", "two", "three"):
        distribution.add(name, [])
    for name in ("one", "two"):
        distribution.failed(order_of(distribution, name), f"{name}: no such repository")
    (end,) = distribution.assign(["three"]).values()
    assert str(end) == "one: no such repository; two: no such repository"


def test_what_one_host_says_of_the_hub_or_a_peer_is_its_own_affair() -> None:
    """One box that is not ours any more said "the hub refuses", and nobody got anything."""
    distribution = Distribution(4, at_once=9)
    distribution.add("giver", [0])
    for name in ("liar", "one", "two"):
        distribution.add(name, [])
    for _ in range(5):
        order = distribution.assign(["liar"])["liar"]
        if isinstance(order, Exhausted):
            break
        distribution.failed(order, "not mine")
    assert isinstance(order, Exhausted)
    assert sorted(order_of(distribution, "one").sender for _ in range(4)) == [
        *[HUB] * 3,
        "giver",
    ]


def test_who_complains_of_many_is_not_believed_and_what_it_said_goes_with_it() -> None:
    distribution = Distribution(1, at_once=9)
    for name in ("a", "b", "c"):
        distribution.add(name, [0])
    for name in ("liar", "second", "third"):
        distribution.add(name, [])
    for sender in ("a", "b", "c"):
        distribution.failed(give(distribution, "liar", sender), "wrong bytes")
    distribution.failed(give(distribution, "second", "a"), "wrong bytes")
    assert not distribution._doubted, "one of the two complaints is of a host that is not believed"
    distribution.failed(give(distribution, "third", "a"), "wrong bytes")
    assert distribution._doubted == {"a"}
    distribution.remove("second")
    assert not distribution._doubted


def give(distribution: Distribution, receiver: str, sender: str) -> Transfer:
    """A transfer under way as if it had been assigned."""
    transfer = Transfer(0, receiver, sender)
    distribution._under_way.append(transfer)
    return transfer


def test_a_sender_that_served_more_than_complain_of_it_stays_trusted() -> None:
    distribution = Distribution(2, at_once=9)
    distribution.add("giver", [0, 1])
    names = [f"box{number}" for number in range(5)]
    for name in names:
        distribution.add(name, [])
    for name in names[:3]:
        distribution.done(give(distribution, name, "giver"))
    for name in names[3:]:
        distribution.failed(give(distribution, name, "giver"), "wrong bytes")
    assert not distribution._doubted


def test_who_cannot_hand_on_is_asked_by_nobody_and_nobody_is_blamed() -> None:
    distribution = Distribution(1)
    distribution.add("giver", [0])
    distribution.add("one", [])
    distribution.withdraw(order_of(distribution, "one"), "giver cannot hand on: no rsync")
    order = order_of(distribution, "one")
    assert order.sender == HUB
    distribution.failed(order, "out of reach")
    (end,) = distribution.assign(["one"]).values()
    assert str(end) == "out of reach; giver cannot hand on: no rsync"


def test_an_overdue_transfer_from_outside_holds_up_nobody() -> None:
    """A host that takes a part from the hub drop by drop kept the hub from all others."""
    distribution = Distribution(2)
    for name in ("slow", "one", "two"):
        distribution.add(name, [])
    slow = order_of(distribution, "slow")
    assert distribution.assign(["one", "two"]) == {}
    distribution.overdue(slow)
    orders = distribution.assign(["one", "two"])
    assert orders == {"one": Transfer(1, "one", HUB)}, "the other part first, one at a time"
    distribution.done(Transfer(1, "one", HUB))
    orders = distribution.assign(["one", "two"])
    assert orders == {"two": Transfer(0, "two", HUB)}
    distribution.done(Transfer(0, "two", HUB))
    distribution.done(slow)
    assert not distribution._overdue


def test_one_overdue_part_at_a_time_is_asked_for_again() -> None:
    distribution = Distribution(2, at_once=2)
    for name in ("slow", "slower", "one", "two"):
        distribution.add(name, [])
    for name in ("slow", "slower"):
        distribution.overdue(order_of(distribution, name))
    assert distribution.assign(["one", "two"]) == {"one": Transfer(0, "one", HUB)}


def test_a_host_with_much_of_a_part_is_not_waited_for_where_it_is_overdue() -> None:
    distribution = begun_by_the_last()
    distribution.overdue(order_of(distribution, "last"))
    assert order_of(distribution, "first") == Transfer(1, "first", HUB)


def test_a_peer_that_drips_is_asked_last_before_anybody_gives_up_on_it() -> None:
    distribution = Distribution(1)
    distribution.add("dripping", [0])
    for name in ("one", "two", "three"):
        distribution.add(name, [])
    for name in ("one", "two"):
        distribution.overdue(order_of(distribution, name))
    assert order_of(distribution, "three").sender == HUB


def test_only_a_few_of_many_reasons_are_told() -> None:
    assert str(Exhausted([f"reason {number}" for number in range(9)])).endswith(
        "reason 4; and 4 more reasons"
    )


def test_a_host_that_dies_in_the_middle_frees_what_it_was_given() -> None:
    distribution = Distribution(1)
    distribution.add("dying", [])
    distribution.add("other", [])
    (order,) = distribution.assign(["dying", "other"]).values()
    assert isinstance(order, Transfer)
    distribution.remove(order.receiver)
    left = "other" if order.receiver == "dying" else "dying"
    assert order_of(distribution, left).sender == HUB


def begun_by_the_last() -> Distribution:
    """Of the second part, `last` has some bytes; `first` would be asked before it."""
    distribution = Distribution(2)
    distribution.add("first", [0])
    distribution.add("last", [0], {0: 10, 1: 5})
    return distribution


def test_who_has_begun_a_part_goes_on_with_it_and_the_others_wait() -> None:
    distribution = begun_by_the_last()
    assert distribution.assign(["first"]) == {}
    orders = distribution.assign(["first", "last"])
    assert orders == {"last": Transfer(1, "last", HUB)}
    distribution.done(Transfer(1, "last", HUB))
    assert distribution.assign(["first"]) == {"first": Transfer(1, "first", "last")}


def test_what_a_host_has_begun_comes_first_and_what_nobody_has_begun_goes_to_others() -> None:
    distribution = Distribution(2, at_once=2)
    distribution.add("asked first", [], {1: 5})
    distribution.add("asked second", [])
    assert distribution.assign(["asked first", "asked second"]) == {
        "asked first": Transfer(1, "asked first", HUB),
        "asked second": Transfer(0, "asked second", HUB),
    }


@pytest.mark.parametrize("end", ["failed", "removed", "given by another"])
def test_a_part_is_not_kept_for_a_host_that_will_not_go_on_with_it(end: str) -> None:
    distribution = begun_by_the_last()
    if end == "failed":
        order = order_of(distribution, "last")
        distribution.failed(order, "cut off")
    elif end == "removed":
        distribution.remove("last")
    else:
        distribution.add("giver", [0, 1])
    assert order_of(distribution, "first").sender == ("giver" if end == "given by another" else HUB)
