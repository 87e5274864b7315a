"""Read what a host is like now, by one script in one round trip.

A fleet run is bound by round trips (a channel and a shell for each command), so every operation of
a deploy compares with this one record instead of asking for its own facts.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from pyinfra.api.facts import FactBase

from fortyninety.survey.parse import read_survey
from fortyninety.survey.reading import HostReading
from fortyninety.survey.records import Unreadable
from fortyninety.survey.request import SurveyRequest

_FOLDER = Path(__file__).parent
# What one of them calls of the other comes first.
SCRIPT = "".join((_FOLDER / name).read_text() for name in ("haproxy.sh", "survey.sh"))


class Survey(FactBase[HostReading]):
    """The `HostReading` of a host, for a `SurveyRequest`."""

    _request: SurveyRequest | None = None

    def command(self, request: SurveyRequest) -> str:
        """The script, with what it is to look at set before it."""
        self._request = request
        variables = {
            "files": " ".join(request.files),
            "packages": " ".join(request.packages),
            "units": " ".join(request.units),
            "ports": str(request.port),
            "service": request.service,
            "user": request.user,
            "snapshot": request.snapshot,
            "models_directory": request.models_directory,
            "install_directory": request.install_directory,
            "tools": request.tools,
            "engine": request.engine,
            "interpreter": request.interpreter,
            "second_copy": request.second_copy,
            "keyring": request.keyring,
            "gateway": request.gateway,
            "gateway_ports": " ".join(map(str, request.gateway_ports)),
            "gateway_account": request.gateway_account,
            "gateway_certificate": request.gateway_certificate,
            "front": request.front,
            "front_ports": " ".join(map(str, request.front_ports)),
            "front_certificate": request.front_certificate,
            "front_identity": request.front_identity,
            "monitor_identity": request.monitor_identity,
            "patience": str(request.patience),
            "whole": " ".join(request.whole),
            "in_initramfs": " ".join(request.in_initramfs),
        }
        head = "\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        return f"{head}\n{SCRIPT}"

    @staticmethod
    def default() -> HostReading:
        """An empty reading; pyinfra fails the host wherever it would be used."""
        return HostReading()

    def process(self, output: list[str]) -> HostReading:
        """The reading, from the script's records, or one that says why it is `unreadable`."""
        try:
            return read_survey(output, self._request)
        except Unreadable as unreadable:
            return HostReading(unreadable=str(unreadable))
