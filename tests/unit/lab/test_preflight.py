"""A machine that cannot carry a lab is told everything it lacks, in one go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import preflight
from lab.errors import LabError


def test_every_missing_program_is_named_with_the_package_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    reasons, packages = preflight.missing(lambda _: None)
    assert {"systemd-container", "mmdebstrap", "nftables", "gcc", "apt-cacher-ng"} <= packages
    assert any("systemd-nspawn" in reason for reason in reasons)
    assert any("mmdebstrap" in reason for reason in reasons)


def test_a_user_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    reasons, _ = preflight.missing(lambda program: f"/usr/bin/{program}")
    assert any("root is needed" in reason and "1000" in reason for reason in reasons)


def test_the_refusal_ends_with_the_command_that_installs_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        preflight, "missing", lambda _: (["the program nft is not installed"], {"nftables"})
    )
    with pytest.raises(LabError, match=r"nft is not installed\n.*apt-get install nftables"):
        preflight.check()
