"""A front before three boxes: whose request it is, which box gets it, and what a dead box costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fortyninety.on_host.gateway_control import hold, release
from tests.unit.gateway.fake_engine import LOOPBACK, PATIENCE
from tests.unit.gateway.running_fleet import RunningFleet, running_fleet
from tests.unit.gateway.running_gateway import MODEL, RunningGateway, made_key, needs_haproxy
from tests.unit.gateway.waiting import in_background, until

pytestmark = needs_haproxy


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[RunningFleet]:
    """Three boxes that are ready, and their front."""
    with running_fleet(tmp_path) as running:
        yield running


def of_box(box: RunningGateway) -> list[dict[str, str]]:
    """What its engine was asked, as headers of lower-case names."""
    return [
        {name.lower(): value for name, value in each.headers.items()}
        for each in box.engine.of_path("/v1/completions")
    ]


def test_the_engine_hears_the_tenant_of_the_key_and_both_logs_name_it(fleet: RunningFleet) -> None:
    assert (
        fleet.front.ask(
            fleet.secret,
            X_Fortyninety_Tenant="sales",
            X_Fortyninety_Key="root",
        ).status
        == 200
    )
    (headers,) = [each for box in fleet.boxes for each in of_box(box)]
    said = {name: value for name, value in headers.items() if name.startswith("x-fortyninety")}
    assert said == {"x-fortyninety-tenant": "engineering"} and "authorization" not in headers
    logs = [fleet.front, *fleet.boxes]
    until(lambda: sum(len(each.logged()) for each in logs) == 2)
    lines = [line for each in logs for line in each.logged()]
    assert {(line["key"], line["tenant"], line["path"]) for line in lines} == {
        ("ada", "engineering", "/v1/completions")
    }
    assert lines[0]["box"] in {box.name for box in fleet.boxes}


def test_a_front_refuses_what_a_gateway_refuses(fleet: RunningFleet) -> None:
    _, key = made_key("bob", requests_per_minute=1)
    secret, once = made_key("once", requests_per_minute=1)
    fleet.front.give(key, once)
    assert fleet.front.ask(fleet.secret).status == 401
    assert fleet.front.ask(secret, "/metrics").status == 404
    assert fleet.front.ask(secret, method="GET").status == 405
    assert fleet.front.ask(secret).status == 200
    limited = fleet.front.ask(secret)
    assert limited.status == 429 and limited.error["code"] == "rate_limit_exceeded"
    assert sum(fleet.answered()) == 1


def test_each_event_of_a_stream_passes_before_the_next(fleet: RunningFleet) -> None:
    connection = fleet.front.connect()
    body = json.dumps({"stream": True, "events": 5})
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {fleet.secret}"})
    response = connection.getresponse()
    (box,) = (each for each in fleet.boxes if each.engine.of_path("/v1/completions"))
    for number in range(5):
        box.engine.next_event.release()
        assert response.readline() + response.readline() == b"data: %d\n\n" % number
    assert response.read() == b""
    connection.close()


def test_a_conversation_stays_at_its_box_and_a_tenant_has_all_of_them(fleet: RunningFleet) -> None:
    def chat(*said: str) -> list[int]:
        roles = ("system", "user", "assistant", "user")
        messages = [{"role": roles[place], "content": text} for place, text in enumerate(said)]
        before = counts()
        body = {"model": MODEL, "messages": messages}
        with fleet.front.nothing_left():
            assert fleet.front.ask(fleet.secret, "/v1/chat/completions", body).status == 200
        return [after - earlier for after, earlier in zip(counts(), before, strict=True)]

    def counts() -> list[int]:
        return [len(box.engine.of_path("/v1/chat/completions")) for box in fleet.boxes]

    system = "You help. " * 500
    for number in range(40):
        first = f"question {number}"
        assert chat(system, first) == chat(system, first, "so", "and then?")
    assert min(counts()) >= 8
    # A prompt that grows at its end is one too.
    start = "text " * 300
    assert fleet.chosen(start) is fleet.chosen(f"{start} and more")


def test_another_tenant_and_a_named_session_have_their_own_box(fleet: RunningFleet) -> None:
    made = [made_key(f"key-{number}", tenant=f"tenant-{number}") for number in range(20)]
    fleet.front.give(*(key for _, key in made))
    for secret, _ in made:
        fleet.front.ask(secret, body={"prompt": "the same"})
    assert min(fleet.answered()) >= 1
    before = fleet.answered()
    for _ in range(5):
        for prompt in ("one", "another"):
            session = {"X-Session-Id": "a-session"}
            with fleet.front.nothing_left():
                fleet.front.ask(made[0][0], body={"prompt": prompt}, **session)
    changed = [now - then for now, then in zip(fleet.answered(), before, strict=True)]
    assert sorted(changed) == [0, 0, 10]


def test_one_conversation_does_not_fill_one_box(fleet: RunningFleet) -> None:
    for box in fleet.boxes:
        box.engine.go_on.clear()
    held = []
    for number in range(1, 13):
        # One after the other: the front's threads do not see at once what another gives a box.
        held.append(
            in_background(fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": "the same"})
        )
        until(lambda number=number: sum(fleet.answered()) == number)
    assert max(fleet.answered()) <= 7
    for box in fleet.boxes:
        box.engine.go_on.set()
    assert {each.result(PATIENCE).status for each in held} == {200}


def kill_gateway(box: RunningGateway) -> None:
    """End the box's gateway by SIGKILL, as its power would."""
    box.stop()


def kill_engine(box: RunningGateway) -> None:
    """End the box's engine with what it has under way."""
    box.engine.die()


@pytest.mark.parametrize("kill", [kill_gateway, kill_engine])
def test_a_box_that_dies_under_load_fails_no_request_without_a_byte(
    fleet: RunningFleet, kill: Callable[[RunningGateway], None]
) -> None:
    for box in fleet.boxes:
        box.engine.go_on.clear()
    held = [
        in_background(fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": f"{number}x"})
        for number in range(30)
    ]
    until(lambda: sum(fleet.answered()) == 30)
    dead, *others = fleet.boxes
    under_way = fleet.answered()[0]
    assert under_way > 3
    kill(dead)
    # Those that it had are asked of the others, and new ones too.
    until(lambda: sum(fleet.answered()) == 30 + under_way)
    later = [
        in_background(fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": f"{number}y"})
        for number in range(30)
    ]
    until(lambda: sum(fleet.answered()) == 60 + under_way)
    for box in others:
        box.engine.go_on.set()
    assert [each.result(PATIENCE).status for each in [*held, *later]] == [200] * 60
    until(lambda: fleet.front.state_of(dead) == "DOWN")


def test_two_engines_that_die_at_once_fail_no_request_either(fleet: RunningFleet) -> None:
    for box in fleet.boxes[:2]:
        box.engine.die()
    answers = [
        in_background(fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": f"{number}x"})
        for number in range(20)
    ]
    assert [each.result(PATIENCE).status for each in answers] == [200] * 20


def test_two_boxes_that_die_at_once_fail_no_request_either(fleet: RunningFleet) -> None:
    for box in fleet.boxes[:2]:
        box.stop()
    answers = [
        in_background(fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": f"{number}x"})
        for number in range(20)
    ]
    assert [each.result(PATIENCE).status for each in answers] == [200] * 20


@pytest.mark.parametrize("by", ["the box", "the front"])
def test_a_box_that_drains_gets_nothing_new_and_ends_its_streams(
    fleet: RunningFleet, by: str
) -> None:
    box = fleet.chosen("a conversation")
    connection = fleet.front.connect()
    body = json.dumps({"stream": True, "events": 2, "prompt": "a conversation"})
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {fleet.secret}"})
    response = connection.getresponse()
    box.engine.next_event.release()
    assert response.readline() == b"data: 0\n"
    if by == "the box":
        box.control_line("disable server listening/engine")
        until(lambda: fleet.front.state_of(box) == "DOWN")
    else:
        fleet.front.control_line(f"set server boxes/{box.name} state drain")
    before = len(box.engine.asked)
    for number in range(20):
        assert fleet.chosen(f"{number}z") is not box
    assert fleet.chosen("a conversation") is not box
    assert [each for each in box.engine.asked[before:] if b'"1"' not in each.body] == []
    box.engine.next_event.release()
    assert response.read().endswith(b"data: 1\n\n")
    connection.close()

    if by == "the box":
        box.control_line("enable server listening/engine")
    else:
        fleet.front.control_line(f"set server boxes/{box.name} state ready")
    until(lambda: fleet.front.state_of(box) == "UP")
    assert fleet.chosen("a conversation") is box


def test_requests_are_held_while_no_box_serves(fleet: RunningFleet) -> None:
    for box in fleet.boxes:
        box.engine.stop()
    until(lambda: all(fleet.front.state_of(box) == "DOWN" for box in fleet.boxes))
    assert fleet.front.status("/ready").status == 503
    held = [
        in_background(fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": f"{number}x"})
        for number in range(6)
    ]
    until(lambda: fleet.front.figure("held", "BACKEND", "scur") == "6")
    for box in fleet.boxes:
        box.engine.start()
    assert [each.result(PATIENCE).status for each in held] == [200] * 6
    until(lambda: fleet.front.status("/ready").status == 200)


def test_requests_are_held_while_no_box_is_there(fleet: RunningFleet) -> None:
    for box in fleet.boxes:
        box.stop()
    until(lambda: all(fleet.front.state_of(box) == "DOWN" for box in fleet.boxes))
    held = in_background(fleet.front.ask, fleet.secret)
    until(lambda: fleet.front.figure("held", "BACKEND", "scur") == "1")
    back = fleet.boxes[1]
    back.process = None
    back.start()
    assert held.result(PATIENCE).status == 200


@pytest.mark.parametrize("how", ["die", "stop"])
def test_engines_that_all_restart_at_once_fail_no_request(fleet: RunningFleet, how: str) -> None:
    for box in fleet.boxes:
        box.engine.go_on.clear()
    answers = [
        in_background(fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": f"{number}x"})
        for number in range(6)
    ]
    until(lambda: sum(fleet.answered()) == 6)
    # All of them before a request is cut: one that another engine takes is cut once more, and has
    # but four tries, each of which ends soon where its box does not serve.
    for box in fleet.boxes:
        box.engine.stop()
    until(lambda: all(box.figure("listening", "engine", "status") == "DOWN" for box in fleet.boxes))
    # The front may not have heard of it yet, which what is new has time for.
    answers += [
        in_background(fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": f"{number}y"})
        for number in range(6)
    ]

    def are_held(number: int) -> bool:
        assert not [each.result() for each in answers if each.done()]
        return fleet.front.figure("held", "BACKEND", "scur") == str(number)

    until(lambda: are_held(6))
    if how == "die":
        for box in fleet.boxes:
            box.engine.die()
        until(lambda: are_held(12))
    for box in fleet.boxes:
        box.engine.go_on.set()
    fleet.boxes[2].engine.start()
    assert [each.result(PATIENCE).status for each in answers] == [200] * 12


def test_a_request_that_ends_engines_gets_only_so_many(fleet: RunningFleet) -> None:
    for box in fleet.boxes:
        box.engine.mute = True
    assert fleet.front.ask(fleet.secret).status == 502
    assert sum(fleet.answered()) == 4


def test_a_box_whose_engine_is_told_to_end_sends_fronts_to_others(fleet: RunningFleet) -> None:
    box, *others = fleet.boxes
    hold(box.control, 0)
    # At once: what comes before the front has asked again is asked of another.
    answers = [fleet.front.ask(fleet.secret, body={"prompt": f"{number}z"}) for number in range(6)]
    assert {each.status for each in answers} == {200}
    until(lambda: fleet.front.state_of(box) == "DOWN")
    until(lambda: sum(len(of_box(each)) for each in others) == 6)
    assert not of_box(box)
    release(box.control, LOOPBACK, str(box.engine.port))
    until(lambda: fleet.front.state_of(box) == "UP")
    for number in range(12):
        assert fleet.front.ask(fleet.secret, body={"prompt": f"again {number}"}).status == 200
    assert of_box(box)


def test_requests_from_a_front_are_waited_for_before_the_engine_ends(fleet: RunningFleet) -> None:
    box = fleet.chosen("a conversation")
    box.engine.go_on.clear()
    asked = in_background(
        fleet.front.ask, fleet.secret, "/v1/completions", {"prompt": "a conversation"}
    )
    until(lambda: len(of_box(box)) == 2)
    holding = in_background(hold, box.control, int(PATIENCE))
    until(lambda: fleet.front.state_of(box) == "DOWN")
    assert not holding.done()
    box.engine.go_on.set()
    holding.result(PATIENCE)
    assert asked.result(PATIENCE).status == 200
