"""Say what keeps a host from being a monitor as the settings ask."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading

# Distributions whose Alertmanager, older than 0.26, knows no file with a URL: it would stand in the
# configuration, which any account of the host is shown.
WITHOUT_URL_FILE = {("debian", "12"): "0.25", ("ubuntu", "22.04"): "0.23"}


def monitor_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    """What is wrong with a host that is to be a monitor."""
    release = WITHOUT_URL_FILE.get((reading.os.distribution, reading.os.version))
    if settings.is_monitor and settings.alert_webhook_url_file is not None and release is not None:
        yield Problem(
            host=host,
            subject="alert_webhook_url_file",
            found=f"set, and Alertmanager {release} of {reading.os.name} shows the URL to anybody",
            expected="None there, or a monitor of Debian 13 or Ubuntu 24.04",
        )
