"""Say which hosts of an inventory a monitor can watch, where, and why not the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fortyninety.cell.membership import named_cell
from fortyninety.fleet.fronts import names_of
from fortyninety.monitoring.watched import OF_A_BOX, OF_A_FRONT, WatchedBox
from fortyninety.plan.gateway import asks_by_key
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings


def watched_of(
    data: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Settings]
) -> tuple[list[WatchedBox], list[Problem]]:
    """The boxes and fronts of `settings` that can be watched, in order, and why others cannot.

    `data` are of every host of the inventory, in its order: a cell's first is its head.
    """
    problems: list[Problem] = []
    boxes: list[WatchedBox] = []
    heads: dict[str, str] = {}
    for name, each in data.items():
        if (cell := named_cell(each)) is not None:
            heads.setdefault(cell, name)
    for name, its in settings.items():
        if not (its.has_engine or its.is_front):
            continue
        answers = its.has_engine and (its.cell is None or heads.get(its.cell) == name)
        if (why := _why_not(name, its, answers=answers)) is not None:
            problems.append(why)
        else:
            boxes.append(_watched(name, data[name], its, answers=answers))
    return boxes, problems


def _watched(
    name: str, data: Mapping[str, Any], settings: Settings, *, answers: bool
) -> WatchedBox:
    address = data.get("ssh_hostname")
    assert settings.signals_port is not None
    return WatchedBox(
        name=name,
        # As its certificate names it.
        address=address if address in names_of(name, data, settings) else name,
        port=settings.signals_port,
        release=settings.engine if answers else "",
        snapshot=settings.model_revision if answers else "",
        pages=tuple(
            dict.fromkeys(
                (*(OF_A_BOX if answers else ()), *(OF_A_FRONT if settings.is_front else ()))
            )
        ),
    )


def _why_not(host: str, settings: Settings, *, answers: bool) -> Problem | None:
    if not (answers or settings.is_front):
        return Problem(
            host=host,
            subject="a page for the monitor",
            found="not there: it is no head of its cell, and has no gateway",
            expected="a gateway that shows them",
        )
    if not settings.signals or settings.signals_port is None:
        return Problem(
            host=host,
            subject="a page for the monitor",
            found="not there",
            expected="signals = True and a signals_port",
            remedy="Set both and deploy (docs/signals.md)",
        )
    own_certificate = asks_by_key(settings) or not answers
    if own_certificate and settings.gateway_certificate is not None:
        return Problem(
            host=host,
            subject="a page for the monitor",
            found="by a certificate of your own (gateway_certificate)",
            expected="one of the fleet's authority, which the monitor believes",
            remedy="Add it to targets.json, and its authority to authority.pem, by hand",
        )
    return None
