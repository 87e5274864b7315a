"""Ask a host what of a deploy is there beside what the survey reads."""

from __future__ import annotations

import shlex
from pathlib import Path

from pyinfra.api.facts import FactBase

from fortyninety.survey.records import Unreadable
from fortyninety.survey.remains import Remains, RemainsRequest, read_remains

SCRIPT = (Path(__file__).parent / "remains.sh").read_text()


class RemainsOfDeploy(FactBase[Remains | None]):
    """The `Remains` on a host, for a `RemainsRequest`; None where its answer cannot be read."""

    def command(self, request: RemainsRequest) -> str:
        """The script, with what it is to look at set before it."""
        variables = {
            "note": request.note,
            "own_account": request.own_account,
            "folders": " ".join(request.folders),
            "emptied": " ".join(request.emptied),
            "files": " ".join(request.files),
            "model_folders": " ".join(request.model_folders),
            "units": " ".join(request.units),
        }
        head = "\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        return f"{head}\n{SCRIPT}"

    @staticmethod
    def default() -> None:
        """Nothing that could be read."""

    def process(self, output: list[str]) -> Remains | None:
        """The remains, from the script's records."""
        try:
            return read_remains(output)
        except Unreadable:
            return None
