"""Say which boxes of an inventory are behind which of its fronts, and what they know of each other.

Pure: of every host its settings, the names of its certificate and its addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from fortyninety.gateway.front_configuration import Box
from fortyninety.problem import Problem
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings

MOST_NAMED = 5


@dataclass(frozen=True)
class Member:
    """A host of the inventory: its settings, and how others know and reach it.

    `names` are those of its certificate, and `addresses` of IPv4 or IPv6; `answers` is whether its
    engine answers, as of a cell the head's alone does.
    """

    name: str
    settings: Settings
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    answers: bool


@dataclass(frozen=True)
class Fronted:
    """The fronts that a box is behind: their names in certificates, and their addresses."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """What a host is to others of its inventory: whose front, and behind which fronts.

    `paths` are those that every box behind it lets through.
    """

    boxes: tuple[Box, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    fronted: Fronted | None = None


ALONE = Place()


def place_of(name: str, members: Sequence[Member]) -> Place:
    """The place of a host among the members of its inventory."""
    own = next(each for each in members if each.name == name)
    boxes = _boxes_of(own, members) if own.settings.is_front else []
    fronts = _fronts_of(own, members)
    return Place(
        boxes=tuple(
            Box(each.names[0], _socket(each.addresses[0], each.settings.gateway_fronts_port))
            for each in boxes
        ),
        paths=_paths(boxes),
        fronted=Fronted(
            names=tuple(each.names[0] for each in fronts),
            addresses=tuple(dict.fromkeys(one for each in fronts for one in each.addresses)),
        )
        if fronts
        else None,
    )


def place_problems(
    name: str, members: Sequence[Member], *, are_all: bool = True
) -> Iterator[Problem]:
    """Why a host cannot have its place.

    Without `are_all` there are hosts whose settings nobody can read: one may be a front's box.
    """
    own = next(each for each in members if each.name == name)
    boxes = _boxes_of(own, members) if own.settings.is_front else []
    fronts = _fronts_of(own, members)
    if own.settings.is_front:
        yield from _front_problems(own, boxes, members, are_all=are_all)
    if fronts:
        yield from _box_problems(own)
    for each in {each.name: each for each in (own, *boxes, *fronts)}.values():
        if (boxes or fronts) and not (each.addresses and each.names):
            yield Problem(
                host=name,
                subject=f"the address of {each.name}",
                found="not found here",
                expected="a name or an address that other hosts reach it by",
                remedy="Set peer_address for it, or ssh_hostname",
            )


def _boxes_of(front: Member, members: Sequence[Member]) -> list[Member]:
    wanted = front.settings.model_name
    return [each for each in members if each.answers and each.settings.model_name == wanted]


def _fronts_of(box: Member, members: Sequence[Member]) -> list[Member]:
    """The fronts that a host is behind; none where its engine does not answer."""
    if not box.answers:
        return []
    wanted = box.settings.model_name
    return [
        each for each in members if each.settings.is_front and each.settings.model_name == wanted
    ]


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ip_address(address).version == 6 else f"{address}:{port}"


def _paths(boxes: Sequence[Member]) -> dict[str, str]:
    """What each of the boxes lets through."""
    first, *others = [load_release(each.settings.engine).api_paths for each in boxes] or [{}]
    return {
        path: method
        for path, method in first.items()
        if all(each.get(path) == method for each in others)
    }


def _front_problems(
    own: Member, boxes: Sequence[Member], members: Sequence[Member], *, are_all: bool
) -> Iterator[Problem]:
    if not boxes and are_all:
        names = dict.fromkeys(repr(each.settings.model_name) for each in members if each.answers)
        serve = f"boxes serve {_some(names)}" if names else "no host has the role 'engine'"
        yield Problem(
            host=own.name,
            subject="roles",
            found=f"with 'gateway', and no box serves {own.settings.model_name!r}: {serve}",
            expected="a box of the inventory that serves what the front's own settings name",
            remedy="Set model or served_model_name of the front as its boxes have it",
        )
    models = dict.fromkeys(each.settings.model_repository for each in boxes)
    if len(models) > 1:
        yield Problem(
            host=own.name,
            subject="roles",
            found=f"with 'gateway', and boxes that serve {_some(models)} under one name",
            expected="one model behind a front: a conversation may go to any box",
            remedy="Give them another served_model_name each, and each a front",
        )
    largest = own.settings.gateway_max_body_kib
    if small := [each.name for each in boxes if each.settings.gateway_max_body_kib < largest]:
        yield Problem(
            host=own.name,
            subject="gateway_max_body_kib",
            found=f"{largest}, and less at {_some(small)}",
            expected="no more than its boxes take",
        )


def _box_problems(own: Member) -> Iterator[Problem]:
    settings = own.settings
    if settings.gateway and not settings.is_front and settings.gateway_certificate is not None:
        yield Problem(
            host=own.name,
            subject="gateway_certificate",
            found="set, and the box is behind a front",
            expected="None: fronts believe the fleet's own authority alone",
            remedy="Give it to the front, and let clients ask that",
        )
    if load_release(settings.engine).listens_where_told and settings.listen_address != "127.0.0.1":
        yield Problem(
            host=own.name,
            subject="listen_address",
            found=repr(settings.listen_address),
            expected="'127.0.0.1' behind a front: else the engine is reached around it",
        )
    port = settings.gateway_fronts_port
    others = {
        "port": settings.port,
        "gateway_port": settings.gateway_port,
        "gateway_status_port": settings.gateway_status_port,
        "front_status_port": settings.front_status_port,
        "peer_port": settings.peer_port,
    }
    if settings.cell is not None:
        others |= {"cell_port": settings.cell_port, "the next of cell_port": settings.cell_port + 1}
    for key, other in others.items():
        if other == port:
            yield Problem(
                host=own.name,
                subject="gateway_fronts_port",
                found=str(port),
                expected=f"another port than {key}'s: the box is behind a front",
            )


def _some(names: Sequence[str] | dict[str, None]) -> str:
    named = list(names)
    return ", ".join(named[:MOST_NAMED]) + (", ..." if len(named) > MOST_NAMED else "")
