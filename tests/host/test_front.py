"""A front: who is let in to its boxes, which boxes it knows, and what it has in force."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cryptography import x509
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.fronts import boxes_behind
from tests.host.haproxy_door import (
    answers_at,
    assert_lets_nobody_in,
    assert_runs_and_comes_back,
    assert_speaks_no_old_tls,
)
from tests.host.haproxy_files import ends_soon, noted, on_disk, others_files
from tests.host.inventory_bridge import Box
from tests.host.on_host import read

SERVICE = "fortyninety-front.service"
FOLDER = "/etc/fortyninety/front"
CONTROL = "/run/fortyninety-front/control.sock"
PATHS = ("/v1/models", "/metrics", "/v1/../metrics", "/")


@pytest.fixture(scope="session")
def answers(host: Host, settings: Settings) -> dict[str, Any]:
    """What it answers to somebody without a key."""
    return answers_at(host, settings.gateway_port, settings.front_status_port, PATHS)


def test_the_front_runs_and_comes_back_at_boot(host: Host) -> None:
    """Without it nobody is let in to any box."""
    assert_runs_and_comes_back(host, SERVICE)


def test_nobody_is_let_in_without_a_key(answers: dict[str, Any]) -> None:
    """Whoever is let in without a key is anybody."""
    assert_lets_nobody_in(answers)


def test_no_old_tls_is_spoken(answers: dict[str, Any]) -> None:
    """What TLS 1.1 and earlier hide can be read."""
    assert_speaks_no_old_tls(answers)


def test_its_certificates_last(host: Host) -> None:
    """With the first nobody verifies it any more, with the second no box hears it."""
    ends = {
        name: end
        for name in ("server.pem", "identity.pem", "authority.pem")
        if (end := ends_soon(host, f"{FOLDER}/{name}")) is not None
    }
    assert not ends, (
        f"{', '.join(f'{name} ends on {end}' for name, end in ends.items())}; expected at least 14 "
        "days. Deploy again, or renew the file of gateway_certificate"
    )


def test_the_certificate_is_for_its_names(
    box: Box, settings: Settings, answers: dict[str, Any]
) -> None:
    """A client that verifies, as all should, goes no further."""
    if settings.gateway_certificate is not None:
        return
    certificate = x509.load_pem_x509_certificate(answers["certificate"].encode())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = {str(each.value).lower() for each in found}
    missing = {box.name.lower(), *map(str.lower, settings.gateway_names)} - names
    assert not missing, (
        f"the certificate is for {', '.join(sorted(names))}; expected {', '.join(sorted(missing))} "
        "too. Deploy again"
    )


def test_it_knows_the_boxes_of_the_inventory_and_no_others(
    host: Host, box: Box, everyone: tuple[Box, ...]
) -> None:
    """A box that it does not know serves nobody; one that has gone gets its share of requests."""
    text = host.check_output(f"cat {FOLDER}/haproxy.cfg")
    backend = text.partition("\nbackend boxes\n")[2].partition("\nbackend ")[0]
    found = set(re.findall(r"^ +server (\S+) ", backend, re.MULTILINE)) - {"held"}
    expected = {each.name.lower() for each in boxes_behind(box, everyone)}
    assert found == expected, (
        f"it has {', '.join(sorted(found)) or 'no box'}; expected {', '.join(sorted(expected))}. "
        "Deploy again"
    )


def test_its_boxes_are_ready(host: Host) -> None:
    """The others do the work of a box that is not, until they too have too much of it."""
    states: dict[str, str] = read(host, "front_boxes", CONTROL)
    states.pop("held", None)
    away = {name: state for name, state in states.items() if not state.startswith("UP")}
    assert not away, (
        f"{', '.join(f'{name} is {state}' for name, state in away.items())}; expected UP. Look "
        "there with `fortyninety check`, and whether this host reaches it at gateway_fronts_port"
    )


def test_it_has_in_force_what_is_on_disk(host: Host) -> None:
    """A key that is revoked on disk alone is not revoked."""
    assert noted(host, SERVICE) == on_disk(host, FOLDER), (
        f"{SERVICE} has not loaded what is in {FOLDER}. Deploy again"
    )


def test_its_files_are_read_by_nobody_else(host: Host) -> None:
    """Who has the keys of its certificates asks every box in anybody's name."""
    wrong = others_files(host, FOLDER)
    assert not wrong, (
        f"{'; '.join(wrong)} (mode, owner, file); expected 640 root:fortyninety-gateway. Deploy "
        "again; if others have accounts on the host replace the certificates"
    )


def test_no_log_has_a_key_or_a_prompt(host: Host) -> None:
    """Prompts and keys in a log are read by everybody who reads logs."""
    shown = host.check_output(f"journalctl -u {SERVICE} -o cat -n 2000 --no-pager")
    lines = shown.splitlines()
    asked = [json.loads(line) for line in lines if line.startswith("{")]
    more = {name for each in asked for name in each} & {"prompt", "body", "authorization", "query"}
    keys = [line for line in lines if "fn90-" in line]
    assert not more and not keys, (
        f"the log has {', '.join(sorted(more)) or 'a key'}; expected nothing that says more than "
        "who asked and how it ended. Deploy again, and vacuum the journal"
    )
