"""Who is let in by the gateway, to what, and what it keeps of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from testinfra.host import Host

from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from tests.host.haproxy_door import (
    answers_at,
    assert_lets_nobody_in,
    assert_runs_and_comes_back,
    assert_speaks_no_old_tls,
)
from tests.host.haproxy_files import LEAST_LEFT, noted, on_disk, others_files
from tests.host.inventory_bridge import Box

SERVICE = "fortyninety-gateway.service"
FOLDER = "/etc/fortyninety/gateway"
DRAINED = "/var/lib/fortyninety/drained.json"
# Seconds that a timer may be late.
LATE = 120
PATHS = ("/v1/models", "/metrics", "/tokenize", "/v1/../metrics", "//v1/../metrics", "/docs", "/")
LOGGED = {
    *("time", "client", "key", "tenant", "method", "path", "status", "bytes", "connect_ms"),
    *("first_byte_ms", "total_ms", "retries", "ended"),
}


@pytest.fixture(scope="session")
def answers(host: Host, settings: Settings) -> dict[str, Any]:
    """What it answers to somebody without a key."""
    return answers_at(host, settings.gateway_port, settings.gateway_status_port, PATHS)


def test_the_gateway_runs_and_comes_back_at_boot(host: Host) -> None:
    """Without it nobody is let in."""
    assert_runs_and_comes_back(host, SERVICE)


def test_nobody_is_let_in_without_a_key(answers: dict[str, Any]) -> None:
    """Whoever is let in without a key is anybody."""
    assert_lets_nobody_in(answers)


def test_no_old_tls_is_spoken(answers: dict[str, Any]) -> None:
    """What TLS 1.1 and earlier hide can be read."""
    assert_speaks_no_old_tls(answers)


def test_the_engine_behind_it_answered_last(answers: dict[str, Any]) -> None:
    """A gateway before an engine that does not answer holds everybody's requests."""
    assert answers["ready"], (
        "/ready says that the last completion failed; expected an answer. Look at "
        "`journalctl -u vllm.service`"
    )


def test_the_certificate_is_the_boxs_and_lasts(
    box: Box, settings: Settings, answers: dict[str, Any]
) -> None:
    """A client that verifies, as all should, goes no further."""
    certificate = x509.load_pem_x509_certificate(answers["certificate"].encode())
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert left > LEAST_LEFT, (
        f"the certificate ends on {certificate.not_valid_after_utc:%Y-%m-%d}; expected at least "
        f"{LEAST_LEFT.days} days. Deploy again, or renew the file of gateway_certificate"
    )
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = {str(each.value).lower() for each in found}
    wanted = {name.lower() for name in settings.gateway_names}
    if settings.gateway_certificate is None:
        wanted.add(box.name.lower())
        missing = wanted - names
    else:
        wild = {f"*.{name.partition('.')[2]}": name for name in wanted}
        missing = wanted - names - {name for mark, name in wild.items() if mark in names}
    assert not missing, (
        f"the certificate is for {', '.join(sorted(names))}; expected {', '.join(sorted(missing))} "
        "too. Deploy again"
    )


def test_its_files_are_read_by_nobody_else(host: Host) -> None:
    """Who has the certificate's key can pretend to be the box."""
    wrong = others_files(host, FOLDER)
    assert not wrong, (
        f"{'; '.join(wrong)} (mode, owner, file); expected 640 root:fortyninety-gateway. Deploy "
        "again; if others have accounts on the host replace the certificate"
    )


def test_only_the_apis_own_paths_are_let_through(host: Host, settings: Settings) -> None:
    """Behind other paths are the engine's metrics, and what loads models and runs them."""
    text = host.check_output(f"cat {FOLDER}/haproxy.cfg")
    found = set(" ".join(re.findall(r"acl path_of_\w+ path -m str(.*)", text)).split())
    expected = set(load_release(settings.engine).api_paths)
    assert found == expected, (
        f"{', '.join(sorted(found ^ expected))} is let through or not, other than in the release's "
        "card. Deploy again"
    )


def test_it_has_in_force_what_is_on_disk(host: Host) -> None:
    """A key that is revoked on disk alone is not revoked."""
    assert noted(host, SERVICE) == on_disk(host, FOLDER), (
        f"{SERVICE} has not loaded what is in {FOLDER}. Deploy again"
    )


def test_no_log_has_more_than_who_asked_and_how_it_ended(host: Host) -> None:
    """Prompts and keys in a log are read by everybody who reads logs."""
    lines = host.check_output(f"journalctl -u {SERVICE} -o cat -n 2000 --no-pager").splitlines()
    more = [
        name for line in lines if line.startswith("{") for name in json.loads(line).keys() - LOGGED
    ]
    keys = [line for line in lines if "fn90-" in line]
    assert not more and not keys, (
        f"the log has {', '.join(sorted(set(more))) or 'a key'}; expected nothing that says more "
        "than who asked and how it ended. Deploy again, and vacuum the journal"
    )


def test_no_other_haproxy_runs(host: Host) -> None:
    """The package's own unit would serve what its configuration says."""
    state = host.run("systemctl is-active haproxy.service").stdout.strip()
    assert state != "active", (
        "haproxy.service is active; expected the gateway's own alone. "
        "`systemctl disable --now haproxy.service`"
    )


def test_it_is_drained_no_longer_than_it_was_to_be(host: Host) -> None:
    """Who has a key waits in vain, or other boxes do its work, and nobody wants it so."""
    now = int(host.check_output("date +%s"))
    text = host.run(f"cat {DRAINED}").stdout
    until = json.loads(text)["until"] if text else 0
    assert not text or until + LATE > now, (
        f"{DRAINED} is there {now - until} s after the moment in it; expected that its timer took "
        "it away. `fortyninety undrain` it, and look at `journalctl -u fortyninety-undrain.service`"
    )
    follows = host.check_output(f"cat {FOLDER}/drained.map")
    assert bool(text) or not follows, (
        f"the gateway lets nobody in by {FOLDER}/drained.map, and {DRAINED} is not there; expected "
        "both or none. `fortyninety undrain` it"
    )
