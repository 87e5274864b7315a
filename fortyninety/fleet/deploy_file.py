"""Choose the deploy of a run: one's own of the working folder, else the project's."""

from __future__ import annotations

from pathlib import Path

from fortyninety.checkout import DEPLOY_FILE

OWN = "deploy.py"


def deploy_file() -> str:
    """OWN where the working folder has one, which pyinfra would take there; else the project's."""
    own = Path(OWN)
    return OWN if own.is_file() and own.resolve() != DEPLOY_FILE else str(DEPLOY_FILE)
