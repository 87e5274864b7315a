"""Find what the gateways and fronts of a run are given, which the controller keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.cell.membership import Membership
from fortyninety.fleet.fronts import names_of
from fortyninety.fleet.inventory_path import inventory_path
from fortyninety.gateway.authority import (
    FOR_FRONTS,
    AuthorityUnusable,
    authority_folder,
    authority_in,
    is_there,
)
from fortyninety.gateway.certificates import (
    Believed,
    CertificateSource,
    CertificateUnusable,
    Issued,
    given,
)
from fortyninety.gateway.key_file import (
    KeyFileUnusable,
    key_file_of,
    read_key_map,
    read_keys,
)
from fortyninety.plan.fronts import ALONE, Place
from fortyninety.plan.gateway import Secrets, asks_by_key, gateway_ports
from fortyninety.plan.tenants import tenant_problems
from fortyninety.problem import Problem
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings


@dataclass
class LetIn:
    """What the gateways and the fronts of a run are given, by host."""

    gateways: dict[Host, Secrets] = field(default_factory=dict)
    fronts: dict[Host, Secrets] = field(default_factory=dict)


def has_gateway(settings: Settings, cell: Membership | None, place: Place) -> bool:
    """Whether people with keys or fronts are let in to a box: of a cell to its head."""
    return bool(gateway_ports(settings, place)) and (cell is None or cell.is_head)


def secrets_of(
    state: State,
    settings: Mapping[Host, Settings],
    cells: Mapping[str, Membership],
    places: Mapping[str, Place],
) -> tuple[LetIn, list[Problem]]:
    """Where the secrets of each gateway and front come from, and what is wrong with those."""
    found = LetIn()
    problems: list[Problem] = []
    path = inventory_path(state)
    for host, each in settings.items():
        place = places.get(host.name, ALONE)
        gateway = has_gateway(each, cells.get(host.name), place)
        if not (gateway or each.is_front):
            continue
        if path is None:
            problems.append(_no_inventory(host))
            continue
        if gateway:
            _add(found.gateways, problems, host, _of_gateway(host, each, place, path))
            release, fronted = load_release(each.engine), place.fronted is not None
            problems += tenant_problems(host.name, each, release, _tenants(path), fronted=fronted)
        if each.is_front:
            _add(found.fronts, problems, host, _of_front(host, each, path))
    return found, problems


def _add(
    secrets: dict[Host, Secrets], problems: list[Problem], host: Host, found: Secrets | Problem
) -> None:
    if isinstance(found, Problem):
        problems.append(found)
    else:
        secrets[host] = found


def _tenants(inventory: Path) -> set[str]:
    """The tenants whose keys are let in."""
    now = datetime.now(UTC)
    keys = read_keys(key_file_of(inventory))
    return {key.tenant for key in keys if key.state(now) == "usable"}


def _of_gateway(host: Host, settings: Settings, place: Place, inventory: Path) -> Secrets | Problem:
    """What the gateway of a box is given: who asks by a key may believe another's certificate."""
    own = settings.gateway_certificate if asks_by_key(settings) else None
    keys = key_file_of(inventory) if asks_by_key(settings) else None
    authority = None
    if place.fronted is not None or settings.signals_port is not None:
        authority = Believed(authority_folder(inventory), inventory.stem)
    return _secrets(host, settings, inventory, own=own, keys=keys, authority=authority)


def _of_front(host: Host, settings: Settings, inventory: Path) -> Secrets | Problem:
    folder, fleet = authority_folder(inventory), inventory.stem
    found = _secrets(
        host,
        settings,
        inventory,
        own=settings.gateway_certificate,
        keys=key_file_of(inventory),
        authority=Believed(folder, fleet),
    )
    if isinstance(found, Problem):
        return found
    names = names_of(host.name, _data(host), settings)
    return replace(found, identity=Issued(folder, fleet, names[:1], FOR_FRONTS))


def _secrets(
    host: Host,
    settings: Settings,
    inventory: Path,
    *,
    own: str | None,
    keys: Path | None,
    authority: Believed | None,
) -> Secrets | Problem:
    try:
        if keys is not None:
            read_key_map(keys)
    except KeyFileUnusable as error:
        return _unusable(host, "API keys", str(error), "a file that `fortyninety key` wrote")
    try:
        source = _certificate(host, settings, inventory, own)
    except CertificateUnusable as error:
        return _unusable(host, "gateway_certificate", error.found, error.expected)
    except AuthorityUnusable as error:
        return _unusable(host, "the fleet's authority", str(error), "its certificate and key")
    return Secrets(source, None if keys is None else partial(read_key_map, keys), authority)


def _certificate(
    host: Host, settings: Settings, inventory: Path, own: str | None
) -> CertificateSource:
    now = datetime.now(UTC)
    if own is not None:
        return given(Path(own).expanduser(), settings.gateway_names, now)
    folder, fleet = authority_folder(inventory), inventory.stem
    if is_there(folder):
        authority_in(folder, fleet, now)
    return Issued(folder, fleet, names_of(host.name, _data(host), settings))


def _data(host: Host) -> Mapping[str, Any]:
    data: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
    return data


def _unusable(host: Host, subject: str, found: str, expected: str) -> Problem:
    return Problem(
        host=host.name,
        subject=subject,
        found=found,
        expected=expected,
        remedy="See docs/gateway.md",
    )


def _no_inventory(host: Host) -> Problem:
    return Problem(
        host=host.name,
        subject="gateway",
        found="True, and the hosts come from no file",
        expected="an inventory file, beside which keys and the fleet's authority are",
    )
