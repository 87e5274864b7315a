"""What of the engines stays on a host, and what a rollback goes back to."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from fortyninety.on_host import roll_back
from fortyninety.operations.environments import too_many
from fortyninety.survey.reading import HostReading, ServedUnit
from tests.unit.readings import changed

LIVE, OLD, OLDER, CUT = (f"0.32.0-{digit * 12}" for digit in "dcba")


def state(*served: tuple[str, str]) -> HostReading:
    return changed(
        HostReading(),
        service__environments={LIVE: True, OLD: True, OLDER: True, CUT: False},
        service__served=[
            ServedUnit(configuration, 100 - index, engine)
            for index, (configuration, engine) in enumerate(served)
        ],
    )


def test_the_live_environment_and_the_latest_other_that_served_stay() -> None:
    read = state(("now", LIVE), ("flags", OLD), ("before", OLD), ("long ago", OLDER))
    assert too_many(read, LIVE, 1) == ([OLDER, CUT], ["long ago"])
    assert too_many(read, LIVE, 2) == ([CUT], [])
    assert too_many(read, LIVE, 0) == ([OLD, OLDER, CUT], ["flags", "before", "long ago"])


def test_what_never_served_is_nothing_to_go_back_to() -> None:
    assert too_many(state(("now", LIVE)), LIVE, 1) == ([OLD, OLDER, CUT], [])


UNIT = """[Service]
Environment=FORTYNINETY_CONFIGURATION={configuration}
ExecStart={engine}/bin/python \\
    -m \\
    vllm.entrypoints.openai.api_server \\
    --model \\
    {snapshot} \\
    --served-model-name \\
    some/model \\
    --port \\
    8000
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's folders: two environments that served, and the unit of the second."""
    (tmp_path / "models/some/commit").mkdir(parents=True)
    for index, release in enumerate(("0.8.5.post1", "0.32.0")):
        engine = tmp_path / "engines" / f"{release}-0123456789ab"
        engine.mkdir(parents=True)
        (engine / roll_back.MARK).touch()
        served = tmp_path / "served" / f"{release}.service"
        served.parent.mkdir(exist_ok=True)
        text = UNIT.format(
            configuration=release, engine=engine, snapshot=tmp_path / "models/some/commit"
        )
        served.write_text(text)
        os.utime(served, (1000 + index, 1000 + index))
        (tmp_path / "vllm.service").write_text(text)
    return tmp_path


def target(host: Path, engine: str | None = None) -> roll_back.Unit:
    options = argparse.Namespace(install_directory=str(host), engine=engine)
    return roll_back.target(options, roll_back.Unit(host / "vllm.service"))


def test_a_unit_says_its_release_snapshot_and_model(host: Path) -> None:
    unit = roll_back.Unit(host / "vllm.service")
    assert (unit.release, unit.model, unit.configuration) == ("0.32.0", "some/model", "0.32.0")
    assert unit.snapshot == str(host / "models/some/commit")
    assert unit.lacks() is None


def test_a_rollback_goes_to_the_latest_other_that_served(host: Path) -> None:
    assert target(host).release == "0.8.5.post1"


def test_a_unit_that_never_served_goes_back_to_the_latest_that_did(host: Path) -> None:
    unit = host / "vllm.service"
    unit.write_text(unit.read_text().replace("CONFIGURATION=0.32.0", "CONFIGURATION=broken"))
    assert target(host).configuration == "0.32.0"


def test_a_rollback_to_a_release_that_did_not_serve_is_refused(host: Path) -> None:
    with pytest.raises(roll_back.Failure, match=r"no 0\.6\.3\.post1 served here before 0\.32\.0"):
        target(host, "0.6.3.post1")


@pytest.mark.parametrize("gone", ["engines/0.8.5.post1-0123456789ab", "models/some/commit"])
def test_a_rollback_without_its_environment_or_snapshot_says_which_is_gone(
    host: Path, gone: str
) -> None:
    (host / gone).rename(host / "elsewhere")
    with pytest.raises(roll_back.Failure, match=f"{gone}.* is gone") as refused:
        target(host)
    assert not refused.value.changed
