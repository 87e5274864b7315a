"""Choose the deploy of a run: one's own of the working folder, else the project's."""

from __future__ import annotations

from pathlib import Path

from fortyninety.checkout import DEPLOY_FILE


def deploy_file() -> str:
    """The `deploy.py` of the working folder, which pyinfra would take there, or the project's."""
    own = Path("deploy.py")
    return str(own if own.is_file() else DEPLOY_FILE)
