"""Look at what stands between everybody and an engine, as somebody without a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testinfra.host import Host

from tests.host.on_host import read


def answers_at(host: Host, port: int, status_port: int, paths: Sequence[str]) -> dict[str, Any]:
    """What it answers at these paths to somebody without a key."""
    found: dict[str, Any] = read(host, "gateway_answers", str(port), str(status_port), *paths)
    return found


def assert_runs_and_comes_back(host: Host, service: str) -> None:
    """Assert that it runs now and after a boot."""
    unit = host.service(service)
    assert unit.is_running and unit.is_enabled, (
        f"{service} is not enabled and active. Look at `journalctl -u {service}`; deploy again"
    )


def assert_lets_nobody_in(answers: dict[str, Any]) -> None:
    """Assert that nothing is answered without a key."""
    wrong = {path: code for path, code in answers["statuses"].items() if code not in (400, 401)}
    assert not wrong, f"without a key {wrong} is answered; expected 401. Deploy again"


def assert_speaks_no_old_tls(answers: dict[str, Any]) -> None:
    """Assert that TLS is 1.2 or later."""
    assert not answers["old_tls"], "TLS 1.1 is spoken; expected 1.2 or later. Deploy again"
