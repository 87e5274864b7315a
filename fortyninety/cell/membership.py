"""Form cells from boxes with one card each that serve one model together, and check them.

A cell is not declared by itself: it is the hosts of the inventory that name it, in the inventory's
order. The first is the head (rank 0), which serves; the others run their part of the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fortyninety.problem import Problem
from fortyninety.releases.release import known_releases, load_release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading

# What the members must have alike: all that shapes the engine, which is one on all of them.
ALIKE = (
    "engine",
    "engine_arguments",
    "attention_backend",
    "model_repository",
    "model_revision",
    "served_model_name",
    "quantization",
    "kv_cache_dtype",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enable_prefix_caching",
    "gpu_memory_utilization",
    "port",
    "cell_port",
)


@dataclass(frozen=True)
class Membership:
    """A host's place in its cell: the name, every member's address by rank, and its own rank."""

    name: str
    addresses: tuple[str, ...]
    rank: int
    port: int

    @property
    def is_head(self) -> bool:
        """Whether this member serves."""
        return self.rank == 0

    @property
    def head_address(self) -> str:
        """By which the others reach the head."""
        return self.addresses[0]

    @property
    def own_address(self) -> str:
        """By which the others reach this member."""
        return self.addresses[self.rank]

    @property
    def rendezvous_port(self) -> int:
        """Where the head's engine waits for the others' engines."""
        return self.port + 1


def named_cell(data: Mapping[str, Any]) -> str | None:
    """The cell that a host's data names, whatever else is wrong with it; None where it is none."""
    cell = data.get("cell")
    return cell if isinstance(cell, str) and cell else None


def members_by_cell(settings: Mapping[str, Settings]) -> dict[str, list[str]]:
    """The hosts of each cell, by rank. `settings` are those of hosts in the inventory's order."""
    cells: dict[str, list[str]] = {}
    for host, each in settings.items():
        if each.cell is not None:
            cells.setdefault(each.cell, []).append(host)
    return cells


def membership(
    host: str, settings: Mapping[str, Settings], addresses: Mapping[str, str]
) -> Membership | None:
    """The place of `host` in its cell, or None. `addresses` are the members', as IPv4 addresses."""
    own = settings[host]
    if own.cell is None:
        return None
    members = members_by_cell(settings)[own.cell]
    return Membership(
        name=own.cell,
        addresses=tuple(addresses[member] for member in members),
        rank=members.index(host),
        port=own.cell_port,
    )


def cell_problems(
    settings: Mapping[str, Settings], addresses: Mapping[str, str | None]
) -> Iterator[Problem]:
    """What is wrong with the cells of these hosts, before any of them is looked at.

    `settings` are those of every host of the inventory whose data could be read, in its order;
    `addresses` what each member's name or address was resolved to, None where that failed.
    """
    for cell, members in members_by_cell(settings).items():
        head = members[0]
        if len(members) == 1:
            yield Problem(
                host=head,
                subject="cell",
                found=f"{cell!r}, which has no other member",
                expected="two members or more, or None",
                remedy="Give another host of the inventory the same cell",
            )
        yield from _release_problems(settings, members)
        for member in members[1:]:
            yield from _differences(member, settings[member], head, settings[head])
        yield from _address_problems(settings, members, addresses)


def _release_problems(settings: Mapping[str, Settings], members: list[str]) -> Iterator[Problem]:
    able = [release for release in known_releases() if load_release(release).multi_node]
    for member in members:
        own = settings[member]
        multi_node = load_release(own.engine).multi_node
        if multi_node is None:
            yield Problem(
                host=member,
                subject="engine",
                found=repr(own.engine),
                expected=f"one that serves from several hosts by itself in cell {own.cell!r}: "
                f"{', '.join(able)}",
            )
            continue
        for word in own.engine_arguments:
            if word.partition("=")[0] in multi_node.flags.values():
                yield Problem(
                    host=member,
                    subject="engine_arguments",
                    found=f"with {word}",
                    expected="no flag that the cell sets itself",
                )


def _differences(member: str, own: Settings, head: str, heads: Settings) -> Iterator[Problem]:
    for key in ALIKE:
        found, expected = getattr(own, key), getattr(heads, key)
        if found != expected:
            yield Problem(
                host=member,
                subject=key,
                found=repr(found),
                expected=f"{expected!r} as on {head}, the head of cell {own.cell}",
            )


def _address_problems(
    settings: Mapping[str, Settings], members: list[str], addresses: Mapping[str, str | None]
) -> Iterator[Problem]:
    remedy = "Set cell_address to the one that the other members reach this host by"
    shared = Counter(addresses[member] for member in members)
    for member in members:
        address = addresses[member]
        subject = "cell_address" if settings[member].cell_address else "ssh_hostname"
        if address is None:
            named = settings[member].cell_address or "the host's name"
            yield Problem(
                host=member,
                subject=subject,
                found=f"{named}, which cannot be resolved",
                expected="an IPv4 address",
                remedy=remedy,
            )
        elif address.startswith("127."):
            yield Problem(
                host=member,
                subject=subject,
                found=address,
                expected="an address that other hosts can reach",
                remedy=remedy,
            )
        elif shared[address] > 1:
            yield Problem(
                host=member,
                subject=subject,
                found=f"{address}, as another member's",
                expected="one of its own",
                remedy=remedy,
            )


def member_problems(
    host: str, member: Membership, reading: HostReading, tensor_parallel_size: int
) -> Iterator[Problem]:
    """What is wrong with a member of a cell as it was read."""
    if member.own_address not in reading.network.addresses:
        own = ", ".join(
            f"{address} ({name})" for address, name in reading.network.addresses.items()
        )
        yield Problem(
            host=host,
            subject="cell_address",
            found=member.own_address,
            expected=f"one of the host's own: {own or 'it has none'}",
            remedy=(
                "The members of a cell reach each other without address translation between them"
            ),
        )
    if tensor_parallel_size != 1:
        yield Problem(
            host=host,
            subject="tensor_parallel_size",
            found=str(tensor_parallel_size),
            expected=f"1 in cell {member.name}",
            remedy="A cell has one card a box; boxes with several serve by themselves",
        )
