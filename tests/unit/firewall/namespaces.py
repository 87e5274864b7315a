"""Shell scripts with a network, and a /run, of their own."""

from __future__ import annotations

import shutil
import subprocess

import pytest

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")


def alone(script: str) -> str:
    """What a script prints that no other network and no other /run sees."""
    ran = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-ec", f"mount -t tmpfs tmpfs /run\n{script}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in ran.stderr:
        pytest.skip("needs root")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
