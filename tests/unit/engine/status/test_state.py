from __future__ import annotations

import json
from typing import Any

import pytest

from fortyninety.engine.status.reading import Unreadable, read_box
from fortyninety.engine.status.state import BoxStatus, Expected, status_of
from tests.unit.engine.status.answers import ACTIVE, CARDS, answer, scrape

AN_ENGINE = Expected()


def status(expected: Expected = AN_ENGINE, **changed: Any) -> BoxStatus:
    return status_of("box", read_box(answer(**changed)), expected)


def unit(**changed: str) -> dict[str, str]:
    return {**ACTIVE, **changed}


def test_a_box_that_serves() -> None:
    found = status()
    assert (found.state, found.why, found.trouble, found.wanted) == ("serving", "", (), True)
    assert (found.engine, found.snapshot[:8]) == ("0.32.0", "d19cd83e")
    assert found.metrics is not None
    assert (found.metrics.running, found.metrics.waiting, found.metrics.kv_usage) == (4, 1, 0.45)
    assert found.tokens_per_second == 200
    assert [card.heat for card in found.cards] == [71, 68]


def test_the_rate_is_since_the_look_before_where_there_was_one() -> None:
    earlier = read_box(answer(scrapes=[scrape(190.0, 600)])).scrapes[-1]
    later = read_box(answer(scrapes=[scrape(200.0, 1100)]))
    assert status_of("box", later, Expected(), earlier).tokens_per_second == 50
    # The engine started anew between the two.
    anew = read_box(answer(scrapes=[scrape(200.0, 10)]))
    assert status_of("box", anew, Expected(), earlier).tokens_per_second is None


def test_prefix_hits_are_those_of_late_or_else_of_all_time() -> None:
    queries, hits = "prefix_cache_queries_total", "prefix_cache_hits_total"
    first = scrape(1.0, 0, **{queries: 100, hits: 0})
    assert status(scrapes=[first, scrape(2.0, 0, **{queries: 200, hits: 90})]).hits == 0.9
    assert status(scrapes=[first, first | {"time": 2.0}]).hits == 0
    assert status(scrapes=[scrape(1.0, 0, **{queries: 200, hits: 50})]).hits == 0.25
    assert status(scrapes=[scrape(1.0, 0, gpu_prefix_cache_hit_rate=0.5)]).hits == 0.5
    assert status(scrapes=[scrape(1.0, 0)]).hits is None


STARTS = {"scrapes": [], "failure": {"state": "running", "cause": "none yet"}}
LOADS = {"cause": "Loading safetensors checkpoint shards:  40% Completed | 2/5"}


@pytest.mark.parametrize(
    ("changed", "state", "why"),
    [
        (STARTS, "starting", "for 100 s, none yet"),
        ({"scrapes": [], "failure": LOADS}, "starting", "for 100 s, weights 40%"),
        ({"scrapes": [], "unit": unit(NRestarts="3")}, "starting", "for 100 s (restarted 3 times)"),
        (
            {
                "scrapes": [],
                "unit": unit(ActiveState="activating", SubState="auto-restart", NRestarts="2"),
                "failure": {"state": "ended", "cause": "out of memory"},
            },
            "failed",
            "out of memory (restarted 2 times)",
        ),
        (
            {"scrapes": [], "unit": unit(ActiveState="failed", Result="exit-code")},
            "failed",
            "systemd says exit-code",
        ),
        ({"scrapes": [], "unit": unit(ActiveState="inactive")}, "stopped", ""),
        ({"unit": unit(ActiveState="deactivating")}, "stopping", ""),
        ({"scrapes": [], "unit": unit(LoadState="not-found")}, "no engine", "no deploy has set it"),
        ({"scrapes": [], "unit": {}}, "no engine", "systemd does not answer"),
        (
            {"drained": {"since": 1, "until": 1_000_600.0, "reason": "a new fan", "by": "ada"}},
            "drained",
            "for another 10 min: a new fan",
        ),
        ({"drained": {}}, "drained", ""),
        ({"drained": {"until": 999_999.0}}, "serving", ""),
    ],
)
def test_other_states_and_why(changed: dict[str, Any], state: str, why: str) -> None:
    found = status(**changed)
    assert found.state == state
    assert found.why.startswith(why) and bool(found.why) == bool(why)
    assert found.wanted == (state in ("serving", "drained"))


def test_a_member_of_a_cell_and_a_front_are_wanted_without_metrics() -> None:
    member = status(Expected(headless=True), scrapes=[])
    assert (member.state, member.wanted) == ("member", True)
    gone = status(Expected(headless=True), scrapes=[], unit=unit(ActiveState="failed"))
    assert (gone.state, gone.wanted) == ("failed", False)
    front = status(
        Expected(engine=False),
        scrapes=[],
        unit={"LoadState": "not-found"},
        cards="",
        gateway={"ActiveState": "active"},
    )
    assert (front.state, front.wanted) == ("front", True)


def test_trouble_of_cards_and_gateway_is_said_and_a_cap_is_none() -> None:
    hot = CARDS.replace("0x0000000000000000", "0x0000000000000020")
    assert status(cards=hot).trouble == ("GPU 1 is held down by the driver, for heat",)
    assert status(Expected(cards=3)).trouble == ("2 of 3 cards answer",)
    found = status(gateway={"ActiveState": "failed"})
    assert (found.trouble, found.wanted) == (("its gateway is failed",), False)


@pytest.mark.parametrize("line", ["", "[]", "{", "x" * 10, "[" * 70_000, '"a"', "null"])
def test_what_is_no_answer_is_refused(line: str) -> None:
    with pytest.raises(Unreadable):
        read_box(line)


ODD = [None, 7, -1, "\x1b[2Jx\u202e", [], [[]], {"a": {}}, [None, 5], [{"time": "x"}], 1e308, True]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("key", json.loads(answer()))
def test_any_value_of_a_box_is_read_and_moves_no_terminal(key: str, odd: Any) -> None:
    found = status(Expected(cards=2), **{key: odd, "failure": {"cause": odd}})
    assert "\x1b" not in repr(found.why) + found.engine + found.snapshot
    assert found.state


def test_numbers_of_a_box_that_are_none_are_not_known() -> None:
    values = [["vllm:generation_tokens_total", 10**400], ["vllm:num_requests_running", "1"]]
    found = status(scrapes=[{"time": 1, "values": [*values, ["vllm:kv_cache_usage_perc", 7]]}])
    assert found.metrics is not None
    assert (found.metrics.generated_tokens, found.metrics.running) == (None, None)
    assert found.metrics.kv_usage is None
