"""Whose engine keeps tenants apart, what its unit has for it, and where tenants are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fortyninety.cell.membership import Membership
from fortyninety.plan.plan import Plan, make_plan
from fortyninety.plan.tenants import tenant_problems
from fortyninety.plan.unit import service_unit
from fortyninety.releases.release import known_releases, load_release
from tests.unit.plan import systemd_reader
from tests.unit.readings import RTX_4090, bare_host, settings

WITH_SALTS = ("0.32.0", "0.32.0-cpu", "0.33.0")


def plan(cell: Membership | None = None, **changes: Any) -> Plan:
    chosen = settings(**changes)
    reading = bare_host(cards__devices=[RTX_4090] * 2)
    return make_plan(chosen, load_release(chosen.engine), reading, cell)


@pytest.mark.parametrize("release", known_releases())
def test_without_a_gateway_nothing_is_different(release: str) -> None:
    unit = service_unit(plan(engine=release))
    assert not re.search("tenant|middleware|LoadCredential|PYTHONPATH", unit)
    assert unit == service_unit(plan(engine=release, tenant_isolation=False))


@pytest.mark.parametrize("release", known_releases())
def test_with_a_gateway_the_engine_keeps_tenants_apart_where_it_can(release: str) -> None:
    planned = plan(engine=release, gateway=True, engine_arguments=["--seed", "1"])
    unit = service_unit(planned)
    assert planned.tenants_apart == (release in WITH_SALTS)
    assert (release in WITH_SALTS) == ("LoadCredential=" in unit)
    if release not in WITH_SALTS:
        return
    (secret,) = systemd_reader.values(unit, "LoadCredential")
    assert secret == "tenant-secret:/etc/fortyninety/tenant-secret"
    variables = systemd_reader.environment(unit)
    assert variables["PYTHONPATH"] == "/opt/fortyninety/bin/tenants"
    assert variables["FORTYNINETY_SALTED_PATHS"].split(":") == [
        *("/v1/chat/completions", "/v1/completions", "/v1/responses")
    ]
    (command,) = systemd_reader.commands(systemd_reader.values(unit, "ExecStart")[0])
    assert command[-4:] == [
        *("--middleware", "fortyninety.on_host.tenants.engine.Tenants"),
        *("--seed", "1"),
    ]


@pytest.mark.parametrize("changes", [{"tenant_isolation": False}, {"gateway": False}])
def test_it_can_be_off(changes: dict[str, bool]) -> None:
    assert not plan(**{"engine": "0.32.0", "gateway": True, **changes}).tenants_apart


@pytest.mark.parametrize("release", known_releases())
def test_every_path_that_computes_for_a_key_takes_a_salt(release: str) -> None:
    """One that is let through and takes none would be refused to every tenant."""
    card = load_release(release)
    asked = {path for path, method in card.api_paths.items() if method == "POST"}
    assert card.cache_salt is None or asked <= set(card.cache_salt.paths)


@pytest.mark.parametrize("release", ["0.6.3.post1", "0.8.5.post1"])
def test_several_tenants_of_a_release_without_salts_are_refused_with_the_choices(
    release: str,
) -> None:
    chosen = settings(engine=release, gateway=True, enable_prefix_caching=True)
    (problem,) = tenant_problems("box1", chosen, load_release(release), {"b", "a"})
    assert (problem.host, problem.subject, problem.found) == ("box1", "tenants", "2 (a, b)")
    assert problem.expected.startswith(f"one: engine {release} keeps no salts")
    for choice in ("enable_prefix_caching = False", "0.32.0", "tenant_isolation = False", "revoke"):
        assert choice in problem.remedy
    assert "-cpu" not in problem.remedy


@pytest.mark.parametrize(
    ("changes", "tenants"),
    [
        ({}, {"a"}),
        ({}, set()),
        ({"gateway": False}, {"a", "b"}),
        ({"enable_prefix_caching": False}, {"a", "b"}),
        ({"tenant_isolation": False}, {"a", "b"}),
        ({"engine": "0.32.0"}, {"a", "b"}),
    ],
)
def test_where_none_learns_of_another_nothing_is_refused(
    changes: dict[str, Any], tenants: set[str]
) -> None:
    chosen = settings(**{"engine": "0.8.5.post1", "gateway": True, **changes})
    assert not list(tenant_problems("box1", chosen, load_release(chosen.engine), tenants))
