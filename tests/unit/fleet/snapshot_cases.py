"""Which hosts of an exchange are read again (none), give at once, or are known to have nothing."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from fortyninety.fleet import snapshot
from fortyninety.on_host.checkpoint_files import File
from fortyninety.survey import latest
from fortyninety.survey.reading import HostReading
from tests.unit.readings import bare_host, settings

MANIFEST = "a" * 64
ABSENT = bare_host()
WHOLE = bare_host(
    snapshot__condition="whole",
    snapshot__manifests={"snapshot": MANIFEST},
    snapshot__begun=9,
    snapshot__commits=["1" * 40],
)


class Box:
    """A host of a run."""

    def __init__(self, name: str, reading: HostReading | None) -> None:
        self.name, self.data = name, {"ssh_hostname": "10.0.0.1"}
        if reading is not None:
            kept: Any = latest._Reading(None, reading, time.monotonic())  # type: ignore[arg-type]
            latest._readings[self] = kept  # type: ignore[index]
            latest.forget_reading(self)  # type: ignore[arg-type]


def plan(second_copy: str | None = None) -> Any:
    return SimpleNamespace(
        settings=settings(),
        snapshot_manifest=MANIFEST,
        paths=SimpleNamespace(
            models="/srv/models/model", second_copy=second_copy, tools="", snapshot_program=""
        ),
    )


@pytest.mark.parametrize(
    ("reading", "second_copy", "empty"),
    [
        (ABSENT, None, True),
        (ABSENT, "/mnt/models/model", False),  # It may have files without their manifest.
        (bare_host(snapshot__begun=4096), None, False),
        (bare_host(snapshot__commits=["2" * 40]), None, False),
        (bare_host(snapshot__condition="damaged"), None, False),
        (WHOLE, None, False),
        (HostReading(unreadable="cut"), None, False),
        (None, None, False),
    ],
)
def test_only_who_certainly_has_nothing_is_taken_to_have_nothing(
    reading: HostReading | None, second_copy: str | None, empty: bool
) -> None:
    box: Any = Box("box", reading)
    assert snapshot._empty(box, plan(second_copy)) is empty


def test_no_host_is_read_again_for_an_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run executes makes readings stale, and eight hosts were read before the first byte."""
    monkeypatch.setattr(latest, "get_fact", lambda *_, **__: pytest.fail("a host is read again"))
    monkeypatch.setattr(
        snapshot, "files_of", lambda settings: (File("config.json", 2, "b" * 64, None),)
    )
    monkeypatch.setattr(snapshot, "token_of", lambda settings: None)
    boxes: list[Any] = [
        Box("bare", ABSENT),
        Box("giver", WHOLE),
        Box("cut", bare_host(snapshot__begun=5000)),
    ]
    exchange = snapshot._new_exchange({box: plan() for box in boxes})
    assert exchange._whole == {"giver"}
    assert exchange._expected == {"bare", "cut"}
    assert exchange._empty == {"bare"}
