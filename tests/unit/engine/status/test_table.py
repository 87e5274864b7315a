from __future__ import annotations

from fortyninety.engine.status.reading import read_box
from fortyninety.engine.status.state import UNREACHABLE, BoxStatus, Expected, status_of
from fortyninety.engine.status.table import rows, summary
from tests.unit.engine.status.answers import CARDS, answer, scrape

SERVES = status_of("gpu-box-1", read_box(answer()), Expected())


def lines(*boxes: BoxStatus, width: int = 80) -> list[str]:
    return [row.text for row in rows(boxes, width)]


def test_a_box_is_one_line_of_80_columns() -> None:
    assert lines(SERVES) == [
        "box          state     engine       memory draw/cap W  °C  tok/s run+w   KV  hit",
        "gpu-box-1    serving   0.32.0      45.2/48    778/800  71  200.0   4+1  45%    -",
    ]


def test_no_line_is_wider_than_the_terminal_whatever_a_box_says() -> None:
    eight = "".join(CARDS.replace("0, ", f"{n}, ", 1).splitlines(True)[0] for n in range(8))
    busy = [scrape(1.0, 0), scrape(2.0, 123_456, num_requests_running=256)]
    full = status_of(
        "a-name-that-is-long.example.org",
        read_box(answer(cards=eight.replace("24564", "98304"), scrapes=busy, engine="x" * 90)),
        Expected(),
    )
    lost = BoxStatus("b", UNREACHABLE, "why " * 100)
    for width in (1, 80, 90, 120, 200):
        assert max(map(len, lines(full, lost, width=width))) <= max(width, 80)
    assert "a-name-that…" in lines(full)[1]
    assert lines(full)[1].endswith("123456 256+1  45%    -")
    assert "d19cd83e" not in lines(SERVES)[1]
    assert "d19cd83e" in lines(SERVES, width=100)[1]


def test_why_a_box_does_not_serve_is_below_it() -> None:
    failed = BoxStatus("gpu-box-2", "failed", "out of memory", trouble=("1 of 2 cards answer",))
    assert lines(SERVES, failed)[2:] == [
        "gpu-box-2    failed                      -          -   -",
        "    out of memory",
        "    1 of 2 cards answer",
    ]


def test_the_fleet_is_one_line() -> None:
    lost = BoxStatus("b", UNREACHABLE, "silent for 20 s")
    assert summary([SERVES, lost, SERVES]) == (
        "2 serving, 1 no answer; 400 tokens/s, 8 running, 2 waiting"
    )
    assert summary([lost]) == "1 no answer"
