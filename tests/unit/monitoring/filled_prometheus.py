"""A real Prometheus with an hour of boxes in it, made of what boxes exported."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.monitoring.promtool import PROMTOOL, rules
from tests.unit.monitoring.recorded_series import Series, recorded

PROMETHEUS = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None or PROMTOOL is None, reason="Prometheus is not installed"
)
# The hour's beginning, any will do; seconds of it, and between two samples.
BEGAN, HOUR, STEP = 1_700_000_000, 3600, 60
PATIENCE = 60
_RECORDED_NAME = re.compile(r"(fortyninety:[\w:]+)(\{[^}]*\})?")


class RunningPrometheus:
    """A Prometheus on loopback, by a configuration."""

    def __init__(self, configuration: Path, data: Path) -> None:
        self.configuration, self.data = configuration, data
        self.log = data.with_name("log")

    def start(self) -> None:
        """Begin to answer."""
        until = time.monotonic() + PATIENCE
        self._begin()
        while not self._is_ready():
            said = self.log.read_text()
            assert time.monotonic() < until, said
            if self._process.poll() is not None:
                # Somebody else was given the port in the meantime.
                assert "address already in use" in said, said
                self._begin()
            time.sleep(0.05)

    def _begin(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        assert PROMETHEUS is not None
        line = [PROMETHEUS, f"--config.file={self.configuration}"]
        line += [f"--storage.tsdb.path={self.data}"]
        line += [f"--web.listen-address={self.address}", "--storage.tsdb.retention.time=100y"]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(line, stdout=log, stderr=log)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def query(self, kind: str, **asked: Any) -> list[dict[str, Any]]:
        """The answer to a query."""
        url = f"http://{self.address}/api/v1/{kind}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{asked}: {error.read()[:500]!r}") from error
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class FilledPrometheus(RunningPrometheus):
    """Answers queries over the hour. Boxes are named for the releases that they serve with."""

    def __init__(self, folder: Path, releases: Mapping[str, str]) -> None:
        """Fill it: `releases` has the release of each box."""
        super().__init__(folder / "prometheus.yml", folder / "data")
        self.configuration.write_text("{}")
        text = "".join(_lines(releases))
        (folder / "samples").write_text(f"{text}# EOF\n")
        assert PROMTOOL is not None
        subprocess.run(
            [PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", "samples", str(self.data)],
            cwd=folder,
            check=True,
            capture_output=True,
        )

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """What it finds over the last half hour, after recording rules are put for their names."""
        found = self.query(
            "query_range",
            query=expanded(expression),
            start=BEGAN + HOUR // 2,
            end=BEGAN + HOUR,
            step=STEP,
        )
        return [each for each in found if any(value != "NaN" for _, value in each["values"])]


def expanded(expression: str) -> str:
    """The expression with what each recording rule asks in place of its name."""
    records = {
        rule["record"]: rule["expr"]
        for each in rules().values()
        for rule in each
        if "record" in rule
    }

    def asked(found: re.Match[str]) -> str:
        own = f"({expanded(records[found[1]])})"
        # What is recorded has the label `box`, by which a panel chooses: any vector of it will do.
        return own if found[2] is None else f"({own} and on (box) up{found[2]})"

    return _RECORDED_NAME.sub(asked, expression)


def _lines(releases: Mapping[str, str]) -> Iterator[str]:
    # Samples of one name stand together.
    series = [each for box, release in releases.items() for each in recorded(release, box)]
    for each in sorted(series, key=lambda one: one.name):
        for second in range(0, HOUR + 1, STEP):
            yield f"{each} {_value(each, second)} {BEGAN + second}\n"


def _value(series: Series, second: int) -> float:
    if re.search(r"_(total|bucket|sum|count)$", series.name):
        # A counter that came to what was recorded within the hour.
        return series.value * second / HOUR
    if series.name == "fortyninety_reading_timestamp_seconds":
        return BEGAN + second
    return series.value
