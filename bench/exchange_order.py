"""Compute how long a checkpoint takes to a fleet by the project's own order of transfers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from fortyninety.model.distribution import Distribution, Transfer

# The nine shards of Llama 3.1 70B in AWQ-INT4, and its small files, in GB.
LLAMA = (*[4.9] * 8, 0.5, 0.1)
# Bytes, in GB, and seconds that count as none.
NEARLY = 1e-9


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--hosts", "counts", default="1,8,32", show_default=True, help="Sizes of fleets.")
@click.option("--parts", help="Sizes in GB, by commas.  [default: those of Llama 3.1 70B AWQ]")
@click.option("--link", default=1000, show_default=True, metavar="MBIT", help="Each cable's speed.")
@click.option("--pause", default=0.5, show_default=True, help="Seconds in which a part begins.")
@click.option("--stream", default=1.0, show_default=True, help="GB/s of one transfer at most.")
@click.option("--at-once", default=1, show_default=True, help="Parts a sender sends side by side.")
@click.option("--cpu", default=2.5, show_default=True, help="Processor seconds a GB on a host.")
@click.option("--cores", default=8, show_default=True, help="Cores of each host.")
def main(*, counts: str, parts: str | None, link: int, **model: Any) -> None:
    """Play an exchange through, with nothing sent, and print JSON: computed, not measured.

    Cables carry as much each way, shared evenly. A part begins with a pause in which it sends
    nothing: a program and a connection. `ratio` is to the wire's time for one copy. `cores_busy`
    is what the hosts' processors do in that time, as a share of their cores: `--cpu` and `--pause`
    are for what `python -m bench.snapshot` measured, `--stream` is what one core hashes and writes.

    \b
    Examples:
      python -m bench.exchange_order --hosts 32
      python -m bench.exchange_order --hosts 8 --parts 0.22,0.22,0.22 --link 150
    """
    sizes = [float(each) for each in parts.split(",")] if parts else list(LLAMA)
    copy = sum(sizes) / (link / 8000)
    cpu, cores = model.pop("cpu"), model.pop("cores")
    rows = []
    for count in map(int, counts.split(",")):
        seconds = played(count, sizes, Cables(link / 8000, **model))
        busy = cpu * sum(sizes) / (seconds * cores)
        rows.append(
            {
                "hosts": count,
                "seconds": round(seconds, 1),
                "ratio": round(seconds / copy, 2),
                "cores_busy": round(busy, 3),
            }
        )
    click.echo(json.dumps({"one_copy_seconds": round(copy, 1), "fleet": rows}, indent=2))


@dataclass(frozen=True)
class Cables:
    """What carries the parts: GB/s of each cable and of one transfer at most, and the pause."""

    speed: float
    pause: float = 0.0
    stream: float = 1e9
    at_once: int = 1


@dataclass
class _UnderWay:
    transfer: Transfer
    begins: float
    left: float

    @property
    def cables(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The two ends that it is on: what its sender sends by and its receiver receives by."""
        return ("out", self.transfer.sender), ("in", self.transfer.receiver)


def played(hosts: int, sizes: Sequence[float], cables: Cables) -> float:
    """The seconds until each of so many hosts has every part."""
    names = [f"box{number:03}" for number in range(hosts)]
    distribution = Distribution(len(sizes), at_once=cables.at_once)
    for name in names:
        distribution.add(name, [])
    now, under_way = 0.0, list[_UnderWay]()
    while True:
        busy = {each.transfer.receiver for each in under_way}
        waiting = [name for name in names if name not in busy and distribution.lacks(name)]
        for order in distribution.assign(waiting).values():
            assert isinstance(order, Transfer), order
            under_way.append(_UnderWay(order, now + cables.pause, sizes[order.part]))
        if not under_way:
            return now
        sending = [each for each in under_way if each.begins <= now + NEARLY]
        rates = _rates(sending, cables)
        ends = [each.left / rate for each, rate in zip(sending, rates, strict=True)]
        step = min([*ends, *(each.begins - now for each in under_way if each not in sending)])
        now += step
        for each, rate in zip(sending, rates, strict=True):
            each.left -= rate * step
            if each.left < NEARLY:
                under_way.remove(each)
                distribution.done(each.transfer)


def _rates(sending: Sequence[_UnderWay], cables: Cables) -> list[float]:
    """How fast each is where cables are shared evenly, and what one leaves others take."""
    left = {cable: cables.speed for each in sending for cable in each.cables}
    rates = dict.fromkeys(range(len(sending)), 0.0)
    open_ones = set(rates)
    while open_ones:
        users = Counter(cable for one in open_ones for cable in sending[one].cables)
        tight = min(users, key=lambda cable: left[cable] / users[cable])
        rate = min(left[tight] / users[tight], cables.stream)
        for one in [each for each in open_ones if tight in sending[each].cables]:
            rates[one] = rate
            open_ones.remove(one)
            for cable in sending[one].cables:
                left[cable] -= rate
    return list(rates.values())


if __name__ == "__main__":
    main()
