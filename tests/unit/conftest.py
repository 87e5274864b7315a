"""Fixtures that several unit tests share."""

from tests.unit.serving_folder import serve_folder
from tests.unit.serving_hub import https_hub, hub, root, serve_hub
from tests.unit.serving_tls import certificate, strangers, trusted
from tests.unit.snapshot_members import members

__all__ = [
    "certificate",
    "https_hub",
    "hub",
    "members",
    "root",
    "serve_folder",
    "serve_hub",
    "strangers",
    "trusted",
]
