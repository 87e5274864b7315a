"""Fixtures that several unit tests share."""

from tests.unit.serving_hub import hub, root, serve_hub
from tests.unit.snapshot_members import members

__all__ = ["hub", "members", "root", "serve_hub"]
