from __future__ import annotations

import pytest

from fortyninety.engine.metrics import Metrics
from fortyninety.load.cards import draw_of, read_cards
from fortyninety.load.doubts import doubts
from fortyninety.load.figures import figures
from fortyninety.load.timed_request import Timed

QUIET = Metrics(running=0, waiting=0, generated_tokens=100, preemptions=1)
AFTER = Metrics(running=0, waiting=0, generated_tokens=104, preemptions=1)
FOUND = figures([Timed(10, 4, 0.0, (1.0, 1.1, 1.2, 1.3), "")])


def said(**changed: object) -> list[str]:
    given = {"asked": 4, "own_core": 0.1, "late": 0.0, "draw": None}
    given |= {"before": QUIET, "after": AFTER, **changed}
    return list(doubts(FOUND, **given))  # type: ignore[arg-type]


def test_nothing_speaks_against_a_quiet_engine() -> None:
    assert said() == []
    assert said(before=None, after=None) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"asked": 8}, "the engine made 4 tokens; asked for 8"),
        ({"own_core": 0.8}, "this client took 80% of a core"),
        ({"late": 0.06}, "this machine is busy: the client ran 0.06 s late"),
        ({"before": Metrics(running=1, generated_tokens=100)}, "another client was at work when"),
        ({"before": Metrics(waiting=1, generated_tokens=100)}, "another client was at work when"),
        ({"after": Metrics(generated_tokens=105)}, "the engine made 5 tokens, 4 of them for this"),
        ({"after": Metrics(generated_tokens=3)}, "the engine started anew meanwhile"),
        (
            {"after": Metrics(generated_tokens=104, preemptions=3)},
            "requests began anew 2 times (preemptions)",
        ),
    ],
)
def test_what_speaks_against_figures_is_said(changed: dict[str, object], expected: str) -> None:
    (line,) = said(**changed)
    assert expected in line


def test_a_card_that_heat_holds_down_is_said_and_one_that_its_cap_does_is_not() -> None:
    assert said(draw=draw_of([read_cards("0, 399.1, 400.00, 60, 0x0000000000000004")])) == []
    (line,) = said(draw=draw_of([read_cards("0, 399.1, 400.00, 90, 0x0000000000000024")]))
    assert line == "a card's clocks were held down by the driver, for heat"


def test_what_the_cards_drew_is_the_mean_of_all_together() -> None:
    drew = draw_of(
        [
            read_cards("0, 300.00, 400.00, 60, 0x0\n1, 200.00, 400.00, 70, 0x0\n"),
            read_cards("0, 100.00, 400.00, 61, 0x0\n1, [N/A], 400.00, 65, 0x0\n"),
        ]
    )
    assert drew is not None
    assert (drew.watts, drew.cap, drew.heat, drew.readings) == (300, 800, 70, 2)
    assert draw_of([read_cards("nvidia-smi: no devices\n0, x, 1, 1, 0x0\n")]) is None
