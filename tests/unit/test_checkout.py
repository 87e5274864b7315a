"""Where the package finds its files, and what it is called."""

from __future__ import annotations

import importlib.metadata
import tomllib

import pytest

from fortyninety import checkout


def test_a_checkout_that_is_not_installed_has_its_version_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_package(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    project = tomllib.loads((checkout.ROOT / "pyproject.toml").read_text())["project"]
    assert checkout.own_version() == project["version"]
    monkeypatch.setattr(checkout, "version", no_package)
    assert checkout.own_version() == project["version"]
