"""Hosts of an exchange that wait, fail, lie or fall silent: the others are not held up."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from fortyninety.model import exchange as model_exchange
from fortyninety.model import peers
from fortyninety.model.steps import CUT, REFUSED, WRONG_BYTES, Folders, Late, Silent, StepFailed
from tests.unit.model.stub_members import StubFleet, StubMember, listed, verified
from tests.unit.serving_hub import CONTENTS, SHARD, Hub
from tests.unit.snapshot_members import MakeMembers, exchange_of, supply

HOSTS = 16
FOLDERS = Folders("/srv/models/model")


# Waiting


def test_only_its_own_order_wakes_a_host_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """They woke each other without end: 100 hosts used a core of the controller for nothing."""
    parts, wake_ups = 3, 0
    fleet = StubFleet(HOSTS, parts)
    fleet.on_first_fetch = lambda: time.sleep(0.3)
    wait = threading.Condition.wait

    def counted(condition: threading.Condition, timeout: float | None = None) -> bool:
        nonlocal wake_ups
        woken = wait(condition, timeout)
        wake_ups += 1
        return woken

    monkeypatch.setattr(threading.Condition, "wait", counted)
    fleet.run()
    assert fleet.failed == {}
    # An order for each part, and what it takes to start and to end a few threads.
    assert wake_ups <= HOSTS * (parts + 5)


# pyinfra's hosts are greenlets: the same there, where each turn of a greenlet is counted.
IN_GREENLETS = """
from gevent import monkey
monkey.patch_all()
import json, time
import gevent, greenlet
from tests.unit.model.stub_members import StubFleet

fleet, turns = StubFleet({hosts}, 3), []

def hold():
    gevent.idle()  # Until all others wait.
    greenlet.settrace(lambda *event: turns.append(event[0]))
    time.sleep(0.3)
    greenlet.settrace(None)

fleet.on_first_fetch = hold
fleet.run()
print(json.dumps([len(turns), fleet.failed, [each.sources() for each in fleet.members]]))
"""


def test_greenlets_that_wait_do_not_take_turns_either() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IN_GREENLETS.format(hosts=HOSTS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    turns, failed, sources = json.loads(ran.stdout)
    assert failed == {}
    assert turns <= HOSTS
    assert sum(each.count("hub") for each in sources) == 3


# Those that are known to have nothing


def test_who_has_nothing_is_not_asked_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_exchange, "APPEARANCE", 10**6)
    fleet = StubFleet(3, 2)
    fleet.empty = {"box0", "box1", "box2", "one that never comes"}
    fleet.exchange.expect(fleet.empty, empty=fleet.empty)
    threads = [
        threading.Thread(target=fleet._supply, args=(each,), daemon=True) for each in fleet.members
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "it waits for one that is known to have nothing"
    assert fleet.failed == {}
    assert [member.did("inspect") for member in fleet.members] == [0, 0, 0]
    sources = [source for member in fleet.members for source in member.sources()]
    assert sources.count("hub") == len(fleet.files)


def test_who_has_nothing_waits_for_what_another_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_exchange, "APPEARANCE", 10**6)
    fleet = StubFleet(2, 2)
    fleet.empty, holder = {"box0"}, fleet.members[1]
    holder.answers["inspect"] = lambda request: {**verified(request), "begun": {}}
    first = threading.Thread(target=fleet._supply, args=(fleet.members[0],), daemon=True)
    fleet.exchange.expect([each.name for each in fleet.members], empty=fleet.empty)
    first.start()
    wait_until(lambda: any(each.waits for each in fleet.exchange._receivers.values()))
    fleet._supply(holder)
    first.join(timeout=60)
    assert fleet.failed == {}
    assert fleet.members[0].sources() == ["box1", "box1"]


def test_the_first_of_those_that_have_nothing_fetches_no_more_than_its_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It took all of it at one go, as if it were alone, and the others waited for the whole."""
    monkeypatch.setattr(model_exchange, "APPEARANCE", 10**6)
    fleet = StubFleet(2, 3)
    fleet.empty = {each.name for each in fleet.members}
    fleet.exchange.expect(fleet.empty, empty=fleet.empty)
    for member in fleet.members:
        fleet._supply(member)
    assert fleet.failed == {}
    requests = [request for member in fleet.members for _, request in member.asked]
    assert {len(each["files"]) for each in requests if "source" in each} == {1}


def test_the_first_fetch_of_one_that_was_not_asked_wants_room_for_all_of_it() -> None:
    fleet = StubFleet(2, 3)
    fleet.empty = {"box0"}
    fleet.run()
    assert fleet.failed == {}
    rooms = [
        [request["room"] for command, request in each.asked if command == "fetch"]
        for each in fleet.members
    ]
    assert rooms == [[3 * 10**9, 0, 0], [0, 0, 0]]


def test_a_part_has_its_senders_cable_for_itself() -> None:
    """Two came side by side, and the first that could be handed on came twice as late."""
    fleet, fetching = StubFleet(4, 4, size=10**8), 0

    def hold() -> None:
        nonlocal fetching
        wait_until(lambda: sum(each.waits for each in fleet.exchange._receivers.values()) == 3)
        fetching = sum(each.did("fetch") for each in fleet.members)

    fleet.on_first_fetch = hold
    fleet.run()
    assert fleet.failed == {}
    assert fetching == 1


# Answers that cannot be


def listed_as(sha256: object, size: object = 1) -> dict[str, Any]:
    path = listed(1)[0].path
    return {"verified": {path: sha256}, "begun": {path: size}}


SHA256 = listed(1)[0].sha256
GARBAGE: list[tuple[str, object]] = [
    *((step, answer) for step in ("inspect", "fetch", "publish") for answer in (None, [], "", 1)),
    *((step, {}) for step in ("inspect", "fetch", "publish")),
    ("inspect", {"verified": {}, "begun": []}),
    ("inspect", {"verified": [], "begun": {}}),
    ("inspect", {"verified": {"../x": "0" * 64}, "begun": {}}),
    ("inspect", listed_as("0" * 64)),
    ("inspect", listed_as(None)),
    ("inspect", listed_as([])),
    ("inspect", listed_as(SHA256)),  # verified and still on its way
    *(
        ("inspect", {"verified": {}, "begun": listed_as(None, size)["begun"]})
        for size in (-1, 10**9 + 1, True, 1.5, "1", None, float("nan"), [])
    ),
    ("inspect", {"verified": {}, "begun": {"\x1b[2J": 1}}),
    ("fetch", {"verified": {}}),
    ("fetch", {"verified": {listed(1)[0].path: "0" * 64}}),
    ("fetch", {"verified": {"/etc/passwd": SHA256}}),
    *(("publish", {"bytes": size}) for size in (0, -1, 10**9 + 1, True, 1e9, "1", None, 10**400)),
]


@pytest.mark.parametrize(("step", "answer"), GARBAGE, ids=repr)
def test_a_host_whose_answer_cannot_be_fails_alone_in_one_line(step: str, answer: object) -> None:
    fleet = StubFleet(3)
    fleet.members[0].answers[step] = lambda request: answer
    fleet.run()
    assert fleet.failed.keys() == {"box0"}
    (line,) = fleet.failed.values()
    assert "which cannot be: look into this host" in line
    assert line.isprintable() and len(line) < 600
    assert all(member.did("publish") == 1 for member in fleet.members[1:])


@pytest.mark.parametrize("step", ["inspect", "fetch", "publish"])
def test_a_host_that_falls_silent_in_a_step_fails_alone_and_the_others_get_everything(
    step: str,
) -> None:
    fleet = StubFleet(4, 3)
    fleet.members[0].answers[step] = fail(Silent("has not answered within 75 s"))
    fleet.run()
    assert fleet.failed == {"box0": "has not answered within 75 s"}
    assert all(member.did("publish") == 1 for member in fleet.members[1:])


def fail(failure: StepFailed) -> Any:
    def step(request: dict[str, Any]) -> object:
        raise failure

    return step


def test_a_sender_that_drips_is_left_for_another_and_named() -> None:
    """The receiver's own program is ended when the time for so many bytes is over."""
    fleet = StubFleet(2)
    dripping = StubMember("dripping")
    fleet.exchange.add_giver(dripping, FOLDERS)
    for member in fleet.members:
        member.answers["fetch"] = late_from("dripping")
    fleet.run()
    assert fleet.failed == {}
    path = fleet.files[0].path
    # 1 GB at 4 MB/s and through the disk, and two minutes.
    assert any(
        f"{path} from dripping did not come within 390 s; expected 4.0 MB/s at least" in line
        for line in fleet.said
    ), fleet.said


def late_from(sender: str) -> Any:
    def fetch(request: dict[str, Any]) -> object:
        if request["source"].get("name") == sender:
            raise Late
        return verified(request)

    return fetch


@pytest.mark.parametrize("exit_code", [CUT, WRONG_BYTES, REFUSED])
def test_a_host_that_blames_every_sender_harms_itself_alone(exit_code: int) -> None:
    """It said "the source refuses", and nobody asked the hub again."""
    fleet = StubFleet(6, 4)
    fleet.members[0].answers["fetch"] = fail(StepFailed(exit_code, "it was not I"))
    fleet.run()
    assert fleet.failed.keys() == {"box0"}
    honest = [source for member in fleet.members[1:] for source in member.sources()]
    # Each part left the hub once more at most, for one that the liar had been given.
    assert honest.count("hub") <= len(fleet.files) + 1
    assert fleet.members[0].did("fetch") <= len(fleet.members)


def test_a_host_that_claims_to_have_everything_is_found_out_and_the_hub_asked() -> None:
    fleet = StubFleet(6, 4)
    liar = fleet.members[0]
    liar.answers["inspect"] = lambda request: {**verified(request), "begun": {}}
    for member in fleet.members[1:]:
        member.answers["fetch"] = wrong_from(liar.name)
    fleet.run()
    assert fleet.failed == {}
    sources = [source for member in fleet.members for source in member.sources()]
    assert sources.count(liar.name) <= 2 * len(fleet.members)
    assert sources.count("hub") <= len(fleet.files) + 2


def wrong_from(sender: str) -> Any:
    def fetch(request: dict[str, Any]) -> object:
        if request["source"].get("name") == sender:
            raise StepFailed(WRONG_BYTES, "wrong")
        return verified(request)

    return fetch


@pytest.mark.parametrize("held", ["inspect", "fetch"])
def test_a_host_that_hangs_in_a_step_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    """It is there, and may still end well; the others are done long before its time is over."""
    monkeypatch.setattr(model_exchange, "APPEARANCE", 0.05)
    monkeypatch.setattr(model_exchange, "HASHING", 10**12)
    monkeypatch.setattr(model_exchange, "BEGINNING", 0.05)
    monkeypatch.setattr(model_exchange, "IN_TIME", 10**12)
    fleet = StubFleet(4, 3)
    hanging, over = fleet.members[0], threading.Event()

    def hang(request: dict[str, Any]) -> object:
        over.wait(60)
        raise Silent("has not answered within 75 s")

    hanging.answers[held] = hang
    threads = fleet.start()
    wait_until(lambda: all(member.did("publish") for member in fleet.members[1:]))
    over.set()
    for thread in threads:
        thread.join(timeout=60)
    assert fleet.failed == {"box0": "has not answered within 75 s"}


def test_all_of_this_is_so_among_greenlets_too() -> None:
    """As pyinfra runs it: every thread, lock and event is a greenlet's."""
    chosen = "silent or hangs or drips or blames or claims or closed or renewal"
    code = (
        "import sys; from gevent import monkey; monkey.patch_all(); import pytest; "
        f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {__file__!r}, '-k', {chosen!r}]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


# Serving


def test_each_port_is_bound_to_its_hosts_own_address_under_a_secret_of_its_own() -> None:
    fleet = StubFleet(3, 4)
    for number, member in enumerate(fleet.members):
        member.address = f"10.0.0.{number}"
    fleet.run()
    serving = {
        member.name: request
        for member in fleet.members
        for command, request in member.asked
        if command == "serve"
    }
    assert [serving[each.name]["address"] for each in fleet.members] == [
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
    ]
    assert len({each["secret"] for each in serving.values()}) == 3


def test_silent_peers_delay_no_others_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, those of 16 hosts of which some are silent came too late."""
    monkeypatch.setattr(peers, "RENEWAL", 0.02)
    fleet = StubFleet(4, 1)
    silent, rest = fleet.members[:2], fleet.members[2:]
    over = threading.Event()
    for member in silent:
        member.answers["keep-serving"] = lambda request: over.wait(60) or {}
    fleet.on_first_fetch = lambda: wait_until(
        lambda: (
            all(member.did("keep-serving") >= 5 for member in rest)
            and all(member.did("keep-serving") for member in silent)
        )
    )
    threads = fleet.start()
    wait_until(lambda: all(member.did("publish") for member in fleet.members))
    assert [member.did("keep-serving") for member in silent] == [1, 1]
    over.set()
    for thread in threads:
        thread.join(timeout=60)
    assert fleet.failed == {}


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("failure", [Silent("no answer"), StepFailed(1, "its time was over")])
def test_a_renewal_that_fails_is_tried_again_or_the_port_opened_anew(
    monkeypatch: pytest.MonkeyPatch, failure: StepFailed
) -> None:
    monkeypatch.setattr(peers, "RENEWAL", 0.02)
    fleet = StubFleet(2, 2)
    giver = StubMember("giver", answers={"keep-serving": fail(failure)})
    fleet.exchange.add_giver(giver, FOLDERS)
    fleet.on_first_fetch = lambda: wait_until(
        lambda: giver.did("keep-serving") >= (2 if isinstance(failure, Silent) else 1)
    )
    fleet.run()
    assert fleet.failed == {}
    assert any("giver: " in line and str(failure) in line for line in fleet.said)
    if isinstance(failure, Silent):
        assert giver.did("serve") == 1


def test_ports_are_closed_side_by_side_and_who_does_not_answer_is_named() -> None:
    fleet = StubFleet(4)
    # Passes only when all of them are asked before the first one answers.
    together = threading.Barrier(4)

    def close(request: dict[str, Any]) -> object:
        together.wait(timeout=50)
        return {}

    def silent(request: dict[str, Any]) -> object:
        together.wait(timeout=50)
        raise Silent("has not answered within 35 s")

    for member in fleet.members:
        member.answers["stop-serving"] = close
    fleet.members[2].answers["stop-serving"] = silent
    fleet.run()
    assert fleet.failed == {}
    assert fleet.said[-1] == "box2: its port closes within 180 s: has not answered within 35 s"


def test_a_giver_that_does_not_answer_is_asked_once_and_the_hub_gives_instead() -> None:
    fleet = StubFleet(3, 4)
    giver = StubMember("giver", answers={"serve": fail(Silent("has not answered within 65 s"))})
    fleet.exchange.add_giver(giver, FOLDERS)
    fleet.run()
    assert fleet.failed == {}
    assert giver.did("serve") == 1
    assert any("giver cannot hand on: has not answered" in line for line in fleet.said)


# What the checkpoint is


@pytest.mark.parametrize("hub_is_there", [True, False])
def test_an_altered_manifest_of_a_peer_publishes_nothing(
    hub: Hub, members: MakeMembers, hub_is_there: bool
) -> None:
    """A host that had it whole was asked what it consists of, and everybody believed it."""
    liar, victim = members(2)
    assert supply(exchange_of(hub), liar) == {}
    commit = hub.commit
    published = liar.model / commit
    other = CONTENTS[SHARD][::-1]
    (published / SHARD).write_bytes(other)
    manifest = published / ".fortyninety-manifest"
    right_sum, other_sum = (hashlib.sha256(each).hexdigest() for each in (CONTENTS[SHARD], other))
    manifest.write_text(manifest.read_text().replace(right_sum, other_sum))
    changes: dict[str, Any] = (
        {} if hub_is_there else {"endpoint": "http://127.0.0.1:9", "patience": 0.0}
    )
    exchange = exchange_of(hub, **changes)
    exchange.add_giver(liar, Folders(str(liar.model)))
    failed = supply(exchange, victim)
    if hub_is_there:
        assert failed == {}
        assert (victim.model / commit / SHARD).read_bytes() == CONTENTS[SHARD]
    else:
        assert failed.keys() == {victim.name}
        assert not (victim.model / commit).exists()
        assert not any(path.read_bytes() == other for path in victim.root.rglob(SHARD))
