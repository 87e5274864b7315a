"""Give vLLM the middleware that it imports, with this engine's secret, read once at its start.

An exception here ends the engine, with it as the last lines of its journal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from fortyninety.on_host.tenants.asgi import App
from fortyninety.on_host.tenants.credential import CREDENTIAL, FOLDER, PATHS
from fortyninety.on_host.tenants.metrics import PrometheusCounters
from fortyninety.on_host.tenants.middleware import TenantMiddleware


def secret_of(environment: Mapping[str, str]) -> bytes:
    """Return the secret that systemd hands over. Raises RuntimeError, without showing it."""
    folder = environment.get(FOLDER)
    if folder is None:
        raise RuntimeError(f"{FOLDER} is not set: the unit has no LoadCredential={CREDENTIAL}")
    path = Path(folder, CREDENTIAL)
    text = path.read_text("ascii", errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise RuntimeError(f"{path} holds something else than 64 hexadecimal digits")
    return bytes.fromhex(text)


def paths_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths whose requests take a salt. Raises RuntimeError where there are none."""
    paths = tuple(environment.get(PATHS, "").split(":"))
    if not all(path.startswith("/") for path in paths):
        raise RuntimeError(f"{PATHS} names no paths")
    return paths


_SECRET = secret_of(os.environ)
_PATHS = paths_of(os.environ)
_COUNTERS = PrometheusCounters()


class Tenants(TenantMiddleware):
    """The middleware of this engine."""

    def __init__(self, app: App) -> None:
        super().__init__(app, secret=_SECRET, paths=_PATHS, counters=_COUNTERS)
