"""The examples of the page for who was given a key, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from fortyninety.checkout import ROOT

PAGE = ROOT / "docs/using-a-key.md"
# What the page calls the model, which its reader replaces by what `/v1/models` says.
PAGES_MODEL = "meta-llama/Llama-3.1-70B"


def examples(kind: str) -> list[str]:
    """The page's blocks that are marked as tried."""
    return re.findall(
        rf"<!-- tried: {kind} -->\n```\w*\n(.*?)```", PAGE.read_text(), flags=re.DOTALL
    )


def environment(base_url: str, secret: str, certificate: Path) -> dict[str, str]:
    """The variables that the page has its reader set."""
    inherited = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return inherited | {
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API_KEY": secret,
        "SSL_CERT_FILE": str(certificate),
        "FLEET_CERTIFICATE": str(certificate),
    }


def printed_by(command: list[str], environment: dict[str, str], folder: Path) -> str:
    """What it prints, once it has ended well."""
    done = subprocess.run(
        command,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
