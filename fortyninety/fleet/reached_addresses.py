"""Judge whether a host reaches the package index and the model's source, by what it says."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from fortyninety.facts.answers import read_object
from fortyninety.on_host.snapshot.reader import PUBLIC_HUB
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.survey.records import Unreadable
from fortyninety.text.printable import printable

# It answers, and wants a login that a deploy may have.
_LOGIN = 401
_LONGEST = 300


def asked_addresses(settings: Settings) -> dict[str, str]:
    """What a host with these settings fetches from; "" is the index of its own configuration."""
    asked = {}
    if settings.package_index != "none":
        asked["index"] = "" if settings.package_index == "host" else settings.package_index
    source = settings.snapshot_source
    if source is None:
        hub = (settings.hub_endpoint or PUBLIC_HUB).rstrip("/")
        model = quote(settings.model_repository)
        asked["hub"] = f"{hub}/api/models/{model}/revision/{settings.model_revision}"
    elif not source.startswith("/"):
        asked["hub"] = f"{source.rstrip('/')}/config.json"
    return asked


def not_asked(settings: Settings, step: str) -> str:
    """Why a step has no address."""
    if step == "index":
        return "not needed: wheels come from wheel_directory"
    return f"not needed: the model comes from {settings.snapshot_source}"


def address_verdict(
    host: str, settings: Settings, step: str, answer: str
) -> tuple[str, tuple[Problem, ...]]:
    """What answered at the addresses of a step, and what is wrong, by what the host printed."""
    try:
        answers = list(_answers(answer, step))
    except Unreadable as unreadable:
        return "", (_problem(host, step, f"not told ({unreadable})", ""),)
    problems = tuple(
        _problem(host, step, f"{address}, which {said}", _remedy(settings, step, status))
        for address, status, said in answers
        if status is None or (status >= 400 and status != _LOGIN)
    )
    return ", ".join(f"{address} {said}" for address, _, said in answers), problems


def _answers(answer: str, step: str) -> Iterator[tuple[str, int | None, str]]:
    """The address, the status and what it means, of each answer. Raises Unreadable."""
    found = read_object(answer).get(step)
    if not isinstance(found, list) or not 0 < len(found) <= 10:
        raise Unreadable("no list of answers")
    for each in found:
        if not isinstance(each, dict):
            raise Unreadable("an answer that is no object")
        address, status, error = each.get("address"), each.get("status"), each.get("error")
        if not isinstance(address, str) or not isinstance(error, str):
            raise Unreadable("an answer without an address or a reason")
        if status is None:
            said = f"does not answer ({printable(error, _LONGEST)})"
        elif type(status) is int and 100 <= status <= 999:
            said = f"answers{'' if status == 200 else f' with {status}'}"
        else:
            raise Unreadable("a status that is none")
        yield printable(address, _LONGEST), status, said


def _remedy(settings: Settings, step: str, status: int | None) -> str:
    if step == "index":
        return (
            "Open the way from the host, set a proxy or a mirror there (/etc/pip.conf and "
            "/etc/uv/uv.toml), or name an index that it reaches: package_index"
        )
    if status == 404:
        return "Check model_repository and model_revision; a gated model needs hub_token"
    if settings.snapshot_peers:
        return (
            "Open the way from the host, or name a source that it reaches (hub_endpoint, "
            "snapshot_source); one host that has the model is enough for its peers"
        )
    return "Open the way from the host, or name a source that it reaches: hub_endpoint"


def _problem(host: str, step: str, found: str, remedy: str) -> Problem:
    subject = "package index" if step == "index" else "model's source"
    return Problem(
        host=host,
        subject=subject,
        found=found,
        expected="one that answers the host",
        remedy=remedy or "Try again",
    )
