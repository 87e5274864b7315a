"""Three engines, their boxes' gateways, and a front before them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fortyninety.gateway.authority import authority_in
from tests.unit.gateway.fake_engine import FakeEngine
from tests.unit.gateway.running_front import FRONT, RunningFront
from tests.unit.gateway.running_gateway import RunningGateway, made_key
from tests.unit.gateway.waiting import until


@dataclass
class RunningFleet:
    """What runs, and a key that the front takes."""

    front: RunningFront
    boxes: tuple[RunningGateway, ...]
    secret: str

    def answered(self) -> list[int]:
        """How many completions each engine was asked for."""
        return [len(each.engine.of_path("/v1/completions")) for each in self.boxes]

    def chosen(self, prompt: str) -> RunningGateway:
        """The box that has a conversation; it costs a request."""
        before = self.answered()
        with self.front.nothing_left():
            assert self.front.ask(self.secret, body={"prompt": prompt}).status == 200
        after = self.answered()
        (place,) = (number for number in range(len(after)) if after[number] > before[number])
        return self.boxes[place]


@contextmanager
def running_fleet(folder: Path, **policy: int) -> Iterator[RunningFleet]:
    """A fleet of which every box is ready."""
    authority = authority_in(folder / "authority", "test", datetime.now(UTC))
    with ExitStack() as stack:
        boxes = []
        for number in range(3):
            engine = FakeEngine()
            engine.start()
            stack.callback(engine.close)
            name = f"box-{number}"
            box = RunningGateway(
                folder / name, engine, authority=authority, name=name, fronts=(FRONT,), **policy
            )
            stack.callback(box.stop)
            box.start()
            boxes.append(box)
        front = RunningFront(folder / FRONT, authority, boxes, **policy)
        stack.callback(front.stop)
        front.start()
        secret, key = made_key("ada", tenant="engineering")
        front.give(key)
        until(lambda: all(front.state_of(box) == "UP" for box in boxes))
        yield RunningFleet(front, tuple(boxes), secret)
