"""Fixtures that several unit tests share."""

from tests.unit.serving_hub import hub, root, serve_hub

__all__ = ["hub", "root", "serve_hub"]
