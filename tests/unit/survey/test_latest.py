"""A stale reading is made anew, but for the files of environments that this run found whole."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from fortyninety.survey import latest
from fortyninety.survey.reading import HostReading
from fortyninety.survey.request import SurveyRequest
from tests.unit.readings import changed

REQUEST = SurveyRequest(
    files=(),
    packages=(),
    units=(),
    port=8000,
    service="vllm.service",
    user="vllm",
    snapshot="",
    models_directory="/srv/models",
    install_directory="/opt/fortyninety",
)
SOUND = {"tools": "whole", "engine": "whole", "python": "cut"}


class Box:
    """A host that answers each survey with the next of some readings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: HostReading) -> None:
        self.state = SimpleNamespace()
        self.asked: list[tuple[str, ...]] = []
        self._answers = list(answers)

        def get_fact(*_: object, kwargs: dict[str, Any], **__: object) -> HostReading:
            self.asked.append(kwargs["request"].whole)
            return self._answers.pop(0)

        monkeypatch.setattr(latest, "get_fact", get_fact)


def reading(boot: str = "one", sealed: dict[str, str] | None = None) -> HostReading:
    return changed(
        HostReading(), os__boot_id=boot, service__sealed=SOUND if sealed is None else sealed
    )


def test_environments_found_whole_are_not_compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    box: Any = Box(monkeypatch, reading(), reading(), reading())
    latest.take_reading(box, REQUEST)
    for _ in range(2):
        latest.forget_reading(box)
        latest.current_reading(box)
    assert box.asked == [(), ("tools", "engine"), ("tools", "engine")]


def test_what_was_not_whole_is_compared_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = reading(sealed={"tools": "other", "engine": "cut"})
    box: Any = Box(monkeypatch, broken, reading(), reading())
    latest.take_reading(box, REQUEST)
    for _ in range(2):
        latest.forget_reading(box)
        latest.current_reading(box)
    assert box.asked == [(), (), ("tools", "engine")]


def test_all_of_it_is_compared_after_a_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = reading("two", {"tools": "whole", "engine": "other"})
    box: Any = Box(monkeypatch, reading(), reading("two"), damaged)
    latest.take_reading(box, REQUEST)
    latest.forget_reading(box)
    assert latest.current_reading(box) is damaged
    assert box.asked == [(), ("tools", "engine"), ()]
    assert latest.current_reading(box) is damaged


def test_a_reading_is_believed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    box: Any = Box(monkeypatch, reading(), reading())
    first = latest.take_reading(box, REQUEST)
    assert latest.current_reading(box) is first
    later = time.monotonic() + latest.MAXIMUM_AGE + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert latest.current_reading(box) is not first
