"""An engine that keeps tenants apart: what stands before it, and its secret."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from tests.host.live_process import SERVICE, LiveProcess

SECRET = "/etc/fortyninety/tenant-secret"
MIDDLEWARE = "fortyninety.on_host.tenants.engine.Tenants"


# On the host: a port, a path, and a tenant's body where there is one.
ASK = """
import http.client, sys
port, path, *body = sys.argv[1:]
engine = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
headers = {"Content-Type": "application/json", "X-Fortyninety-Tenant": "no-such-tenant"}
try:
    engine.request("POST" if body else "GET", path, *body, headers=headers if body else {})
    answer = engine.getresponse().read(4_000_000)
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"{error}" or type(error).__name__)
sys.stdout.write(answer.decode(errors="replace"))
"""


def _ask(host: Host, settings: Settings, path: str, *body: str) -> str:
    words = " ".join(["%s"] * (3 + len(body)))
    ran = host.run(f"python3 -c {words}", ASK, str(settings.port), path, *body)
    if ran.rc:
        pytest.fail(
            f"the engine on port {settings.port} gives no answer: {ran.stderr.strip()[-300:]}; "
            f"expected one within 30 s. Look at `journalctl -u {SERVICE}`; `systemctl restart "
            f"{SERVICE}` ends a hung engine",
            pytrace=False,
        )
    return str(ran.stdout)


def _code(answered: str) -> str:
    """The code of an error of the API's, or the beginning of what came instead."""
    try:
        return str(json.loads(answered)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return answered[:100]


def test_the_engine_has_its_middleware(
    process: LiveProcess, release: Release, settings: Settings
) -> None:
    """Without it tenants share the cache of prompts, and one can tell what another asked."""
    assert release.cache_salt is not None
    found = process.values(release.cache_salt.flag)
    assert MIDDLEWARE in found, (
        f"the process runs with {release.cache_salt.flag} {' '.join(found) or '(absent)'}; "
        f"expected {MIDDLEWARE}. Look at `systemctl cat {SERVICE}`, and deploy again"
    )
    folder = process.environment.get("PYTHONPATH")
    assert folder == f"{settings.install_directory}/bin/tenants", (
        f"the process loads code from PYTHONPATH={folder}; expected "
        f"{settings.install_directory}/bin/tenants alone. Deploy again"
    )


@pytest.mark.asks
@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/completions", "[]", "invalid_json"),
        ("/tokenize", '{"prompt": "x"}', "unknown_url"),
    ],
)
def test_what_a_tenant_sends_is_read_before_the_engine(
    host: Host, settings: Settings, path: str, body: str, code: str
) -> None:
    """A middleware that is loaded and passes everything on keeps nobody apart."""
    found = _code(_ask(host, settings, path, body))
    assert found == code, (
        f"a tenant's {body} to {path} is answered {found!r}; expected the error {code!r}. "
        f"`systemctl restart {SERVICE}`, and deploy again"
    )


@pytest.mark.asks
def test_tokens_are_counted_for_each_tenant(host: Host, settings: Settings) -> None:
    """What nobody counts nobody can be told, or asked to pay."""
    shown = _ask(host, settings, "/metrics")
    assert "\nfortyninety_tenant_prompt_tokens_total{" in shown, (
        "/metrics has no fortyninety_tenant_prompt_tokens_total; expected it. Deploy again"
    )


def test_nobody_reads_the_secret_of_the_salts(host: Host, settings: Settings) -> None:
    """Who knows it can make any tenant's salt."""
    found = host.check_output(f"stat --format='%a %U %G' {SECRET}")
    assert found == "600 root root", (
        f"{SECRET} is {found}; expected 600 root root. Deploy again, which makes another, and "
        f"`systemctl restart {SERVICE}`"
    )
    read = host.run(f"runuser -u {settings.service_user} -- head -c 1 {SECRET}")
    assert read.rc != 0, f"{settings.service_user} reads {SECRET}; expected root alone to"
