"""Which files `fortyninety check` takes for secrets that others could read."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from fortyninety.checkout import ROOT
from fortyninety.gateway.authority import authority_in, issue

PROGRAM = ROOT / "tests" / "host" / "on_host" / "secrets.py"


def findings(folder: Path) -> set[str]:
    """The names of the files that are found."""
    ran = subprocess.run(
        [sys.executable, "-I", PROGRAM, str(folder), "--"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {Path(each.split(" ")[0]).name for each in json.loads(ran.stdout)["files"]}


def test_a_certificate_is_no_secret_and_a_key_beside_it_is(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = authority_in(tmp_path / "made", "fleet", now)
    folder = tmp_path / "host"
    folder.mkdir()
    texts = {
        "authority.pem": authority.pem,
        "server.pem": issue(authority, ["box-1"], now),
        "token": "whatever\n",
        "notes.txt": "nothing\n",
    }
    for name, text in texts.items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o644)
    found = findings(folder)
    assert {"server.pem", "token"} <= found
    assert not {"authority.pem", "notes.txt"} & found
