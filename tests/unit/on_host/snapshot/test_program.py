"""What brings a checkpoint onto hosts, against a hub that misbehaves in every way it can.

After each: the published snapshot is complete and right, or the old one is untouched.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from fortyninety.model import exchange as model_exchange
from fortyninety.model.steps import Folders, StepFailed
from lab.hub.faults import Flip
from tests.unit.serving_folder import ServeFolder
from tests.unit.serving_hub import CONTENTS, REPOSITORY, SHARD, Hub, ServeHub
from tests.unit.snapshot_members import (
    ACCOUNT,
    PEER_PORT,
    PROGRAM,
    LocalMember,
    MakeMembers,
    exchange_of,
    source_of,
    start_step,
    supply,
)

OLD = "0" * 40


@pytest.fixture(autouse=True)
def parts_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the shards travel by themselves, small as they are here."""
    monkeypatch.setattr(model_exchange, "SMALL", 30)


@pytest.fixture
def box(members: MakeMembers) -> LocalMember:
    """A host with an older commit published."""
    (member,) = members(1)
    (member.model / OLD).mkdir(parents=True)
    (member.model / OLD / "config.json").write_text("old")
    return member


def assert_published(hub: Hub, member: LocalMember) -> None:
    snapshot = member.model / hub.commit
    assert read(snapshot) == CONTENTS
    manifest = {}
    for line in (snapshot / ".fortyninety-manifest").read_text().splitlines():
        digest, size, path = line.split("  ")
        manifest[path] = (digest, int(size))
    assert manifest == {
        path: (hashlib.sha256(content).hexdigest(), len(content))
        for path, content in CONTENTS.items()
    }
    left = {path.name for path in member.model.iterdir()} - {OLD}
    assert left == {hub.commit}, "something is left over"


def assert_untouched(hub: Hub, member: LocalMember) -> None:
    assert not (member.model / hub.commit).exists()
    assert read(member.model / OLD) == {"config.json": b"old"}


def read(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".fortyninety-manifest"
    }


def sent(hub: Hub, path: str) -> list[tuple[int, int]]:
    """Where each answer with content of a file began, and how many bytes it had."""
    return [
        (0 if line[4] == "-" else int(line[4].partition("=")[2].partition("-")[0]), int(line[3]))
        for line in hub.lines()
        if line[0] == "GET" and line[1].endswith(f"/{path}") and line[2] in ("200", "206")
    ]


# --- As it should be ------------------------------------------------------------------------------


def test_every_file_is_published_under_the_commit(hub: Hub, box: LocalMember) -> None:
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)
    assert read(box.model / OLD) == {"config.json": b"old"}


def test_small_files_that_the_hub_does_not_hash_are_held_to_the_list_too(
    hub: Hub, box: LocalMember
) -> None:
    hub.faults.flipped["config.json"] = 3
    failed = supply(exchange_of(hub), box)
    assert "config.json from the hub has SHA-256" in failed["box0"]
    assert_untouched(hub, box)


# --- Cut off --------------------------------------------------------------------------------------

BIG = bytes(range(256)) * 4096 * 6


@pytest.fixture
def big_shard(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard of 6 MiB: the client writes a MiB at a time."""
    monkeypatch.setitem(CONTENTS, SHARD, BIG)
    (root / REPOSITORY / SHARD).write_bytes(BIG)


def fetch_big(hub: Hub, box: LocalMember, **changes: Any) -> subprocess.Popen[str]:
    """The step that fetches the big shard, by itself."""
    request = {
        "directory": str(box.model),
        "revision": hub.commit,
        "files": [{"path": SHARD, "size": len(BIG), "sha256": sha256(BIG), "blob": None}],
        "source": source_of(hub, **changes).request(),
        "account": ACCOUNT,
    }
    return start_step("fetch", request)


@pytest.mark.usefixtures("big_shard")
@pytest.mark.parametrize("seed", range(20))
def test_a_fetch_cut_at_any_byte_goes_on_from_there(hub: Hub, box: LocalMember, seed: int) -> None:
    cut = random.Random(seed).randrange(1, len(BIG))
    hub.faults.fail(SHARD, cut)
    first = fetch_big(hub, box, patience=0)
    assert "down or out of reach" in first.communicate()[1]
    assert first.returncode == 3
    assert not (box.model / f".partial-{hub.commit}" / SHARD).exists()
    second = fetch_big(hub, box)
    assert second.communicate()[1] == ""
    assert (box.model / f".partial-{hub.commit}" / SHARD).read_bytes() == BIG
    (_, before), (begin, rest) = sent(hub, SHARD)
    assert before == cut
    assert begin + rest == len(BIG)
    assert cut - (1 << 20) < begin <= cut, "more than a MiB was fetched twice"


@pytest.mark.usefixtures("big_shard")
def test_a_hub_that_cuts_again_and_again_is_asked_for_the_rest_within_one_run(
    hub: Hub, box: LocalMember
) -> None:
    hub.faults.fail(SHARD, 1 << 20, HTTPStatus.SERVICE_UNAVAILABLE, 2 << 20, HTTPStatus.BAD_GATEWAY)
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)
    assert sum(size for _, size in sent(hub, SHARD)) == len(BIG)


@pytest.mark.usefixtures("big_shard")
def test_a_hub_that_dies_in_the_middle_and_comes_back_is_waited_for(
    root: Path, box: LocalMember, tmp_path: Path
) -> None:
    log = tmp_path / "dying.log"

    def start(port: int, *options: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "lab.hub", "--root", str(root), "--port", str(port)),
                *("--access-log", str(log), *options),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        return process, int(process.stdout.readline().rpartition(":")[2])

    # So slow that it dies in the middle, however late that is.
    first, port = start(0, "--bytes-per-second", "50000")
    dying = Hub(root, ("127.0.0.1", port), log)
    fetching = fetch_big(dying, box, patience=100.0)
    incoming = box.model / f".incoming-{dying.commit}"
    wait_until(lambda: any(path.stat().st_size for path in incoming.rglob(SHARD)))
    first.kill()
    first.communicate()
    second, _ = start(port)
    _, errors = fetching.communicate(timeout=120)
    second.kill()
    second.communicate()
    assert fetching.returncode == 0, errors
    assert (box.model / f".partial-{dying.commit}" / SHARD).read_bytes() == BIG
    (begin, _) = sent(dying, SHARD)[-1]
    assert begin > 0, "it began again from nothing"


@pytest.mark.usefixtures("big_shard")
def test_a_step_left_behind_by_a_dead_controller_is_ended_by_the_next_run(
    serve_hub: ServeHub, box: LocalMember
) -> None:
    # So slow that the step cannot be through before the next run is.
    slow, hub = serve_hub(20_000), serve_hub()
    orphan = fetch_big(slow, box)
    incoming = box.model / f".incoming-{hub.commit}"
    wait_until(lambda: any(path.stat().st_size for path in incoming.rglob(SHARD)))
    assert supply(exchange_of(hub), box) == {}
    assert orphan.wait(timeout=60) != 0
    orphan.communicate()
    assert_published(hub, box)


def test_what_was_verified_before_a_crash_is_hashed_again(hub: Hub, box: LocalMember) -> None:
    """A size that is right and content that never reached the disk is what a crash leaves."""
    box.before = lambda command: stop_at(command, "publish")
    assert supply(exchange_of(hub), box) == {"box0": "stopped"}
    partial, incoming = (box.model / f".{kind}-{hub.commit}" for kind in ("partial", "incoming"))
    (partial / SHARD).write_bytes(bytes(len(CONTENTS[SHARD])))
    record = (incoming / "verified").read_text()
    (incoming / "verified").write_text(record.replace(boot_id(), "an-earlier-boot"))
    hub.forget()
    box.before = lambda command: None
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)
    assert len(sent(hub, SHARD)) == 1
    assert not sent(hub, "config.json")


def stop_at(command: str, at: str) -> None:
    if command == at:
        raise StepFailed(1, "stopped")


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- Wrong bytes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONTENTS)
def test_a_byte_that_flips_once_in_any_file_costs_that_file_alone(
    hub: Hub, box: LocalMember, path: str
) -> None:
    hub.faults.fail(path, Flip(0))
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)
    assert {each: len(sent(hub, each)) for each in CONTENTS} == {
        each: 2 if each == path else 1 for each in CONTENTS
    }


@pytest.mark.parametrize("path", [path for path in CONTENTS if path.endswith(".safetensors")])
def test_a_byte_that_is_always_wrong_names_file_expected_and_got(
    hub: Hub, box: LocalMember, path: str
) -> None:
    hub.faults.flipped[path] = 1
    failed = supply(exchange_of(hub), box)
    wrong = bytearray(CONTENTS[path])
    wrong[1] ^= 1
    assert failed["box0"] == (
        f"{path} from the hub has SHA-256 {sha256(bytes(wrong))}; "
        f"expected {sha256(CONTENTS[path])} (2 times)"
    )
    assert_untouched(hub, box)
    hub.faults.flipped.clear()
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)


def test_a_truncated_shard_is_named_with_both_sizes(hub: Hub, box: LocalMember) -> None:
    hub.faults.truncated[SHARD] = 1000
    failed = supply(exchange_of(hub), box)
    assert failed["box0"].startswith(f"{SHARD} from the hub has 1000 bytes; expected 1048576 bytes")
    assert_untouched(hub, box)
    hub.faults.truncated.clear()
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)


def test_only_what_is_damaged_in_a_published_snapshot_is_fetched_again(
    hub: Hub, box: LocalMember
) -> None:
    assert supply(exchange_of(hub), box) == {}
    with (box.model / hub.commit / SHARD).open("r+b") as file:
        file.write(b"x")
    (box.model / hub.commit / "stray").write_text("")
    hub.forget()
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)
    assert [path for path in CONTENTS if sent(hub, path)] == [SHARD]


def test_a_file_that_another_commit_has_too_is_not_fetched(
    hub: Hub, root: Path, box: LocalMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert supply(exchange_of(hub), box) == {}
    before = hub.commit
    monkeypatch.setitem(CONTENTS, "config.json", b"{}")
    (root / REPOSITORY / "config.json").write_bytes(b"{}")
    hub.forget()
    assert supply(exchange_of(hub), box) == {}
    assert read(box.model / hub.commit) == CONTENTS
    assert (box.model / before / SHARD).exists()
    assert [path for path in CONTENTS if sent(hub, path)] == ["config.json"]


@pytest.mark.parametrize("name", ["stray", "sub/stray"])
def test_what_the_hub_does_not_list_is_not_published(hub: Hub, box: LocalMember, name: str) -> None:
    stray = box.model / f".partial-{hub.commit}" / name
    stray.parent.mkdir(parents=True)
    stray.write_text("")
    assert supply(exchange_of(hub), box) == {}
    assert not (box.model / hub.commit / name).exists()


# --- A full disk ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(box: LocalMember, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 2 MB for the model's folder."""
    shutil.rmtree(box.model)
    box.model.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "small", box.model], check=True
    )
    (box.model / OLD).mkdir()
    (box.model / OLD / "config.json").write_text("old")
    yield box.model
    subprocess.run(["umount", "--lazy", box.model], check=True)


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(
    hub: Hub, box: LocalMember, small_disk: Path
) -> None:
    failed = supply(exchange_of(hub), box)
    assert "0.0 GB free; 2.0 GB are needed (still to fetch 0.0 GB" in failed["box0"]
    assert not any(sent(hub, path) for path in CONTENTS)
    assert_untouched(hub, box)


def test_so_is_one_on_a_host_that_is_not_asked_what_it_has(
    hub: Hub, box: LocalMember, small_disk: Path
) -> None:
    failed = supply(exchange_of(hub), box, empty=True)
    assert "0.0 GB free; 2.0 GB are needed (still to fetch 0.0 GB" in failed["box0"]
    assert not any(sent(hub, path) for path in CONTENTS)
    assert_untouched(hub, box)


@pytest.mark.usefixtures("big_shard")
def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_one_and_is_gone_on_from(
    hub: Hub, box: LocalMember, small_disk: Path
) -> None:
    fetching = fetch_big(hub, box)
    _, errors = fetching.communicate(timeout=120)
    assert fetching.returncode == 1
    assert "No space left on device" in errors
    assert "Traceback" not in errors
    assert_untouched(hub, box)
    subprocess.run(["mount", "-o", "remount,size=3g", small_disk], check=True)
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)


# --- The hub says no ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "changes", "message"),
    [
        ({"token": "right"}, {}, f"has no repository {REPOSITORY}, or it needs a token"),
        ({}, {"revision": "1" * 40}, f"has no commit {'1' * 40} of {REPOSITORY}"),
        ({"gated": True}, {}, f"the licence of {REPOSITORY} is not accepted, or there is no token"),
        ({"rate_limited": True}, {"patience": 0}, "limits the rate of requests: try again later"),
        ({}, {"endpoint": "http://127.0.0.1:9", "patience": 0}, "is down or out of reach"),
    ],
)
def test_every_refusal_has_its_own_message(
    hub: Hub, box: LocalMember, faults: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    for name, value in faults.items():
        setattr(hub.faults, name, value)
    failed = supply(exchange_of(hub, **changes), box)
    assert message in failed["box0"]
    assert len(failed["box0"].splitlines()) == 1
    assert_untouched(hub, box)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"token": "right"}, "refuses the token: wrong or expired (hub_token)"),
        ({"gated": True}, "is not accepted by the token's account"),
    ],
)
def test_every_refusal_of_a_token_has_its_own_message(
    https_hub: Hub, trusted_by_steps: None, box: LocalMember, faults: dict[str, Any], message: str
) -> None:
    for name, value in faults.items():
        setattr(https_hub.faults, name, value)
    failed = supply(exchange_of(https_hub, token="wrong"), box)
    assert message in failed["box0"]
    assert len(failed["box0"].splitlines()) == 1
    assert_untouched(https_hub, box)


@pytest.fixture
def trusted_by_steps(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's certificate, trusted as an operator has a host trust that of an internal one."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def test_a_revision_that_is_gone_leaves_what_is_published(
    hub: Hub, root: Path, box: LocalMember
) -> None:
    pinned = hub.commit
    assert supply(exchange_of(hub), box) == {}
    (root / REPOSITORY / "config.json").write_text("moved on")
    (box.model / pinned / "config.json").write_text("damaged")
    failed = supply(exchange_of(hub, revision=pinned), box)
    assert f"has no commit {pinned}" in failed["box0"]
    assert (box.model / pinned / SHARD).read_bytes() == CONTENTS[SHARD]


def test_a_token_opens_the_hub_and_is_nowhere_on_the_disk_or_a_command_line(
    https_hub: Hub, trusted_by_steps: None, box: LocalMember
) -> None:
    hub = https_hub
    hub.faults.token = "hf_very-secret"
    seen: list[str] = []

    def look(command: str) -> None:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(process.read_text())
            except OSError:
                continue

    box.before = look
    assert supply(exchange_of(hub, token="hf_very-secret"), box) == {}
    assert_published(hub, box)
    assert not any("very-secret" in each for each in seen)
    assert b"very-secret" not in b"".join(
        path.read_bytes() for path in box.root.rglob("*") if path.is_file()
    )
    assert "very-secret" not in repr(source_of(hub, token="hf_very-secret"))


# --- Other sources --------------------------------------------------------------------------------


def test_a_folder_and_a_mirror_with_a_manifest_need_no_hub(
    hub: Hub, members: MakeMembers, serve_folder: ServeFolder
) -> None:
    first, from_folder, from_mirror = members(3)
    assert supply(exchange_of(hub), first) == {}
    published = first.model / hub.commit
    nowhere = {"endpoint": "http://127.0.0.1:9"}
    assert supply(exchange_of(hub, place=str(published), **nowhere), from_folder) == {}
    assert_published(hub, from_folder)
    place = serve_folder(published)
    assert supply(exchange_of(hub, place=place, **nowhere), from_mirror) == {}
    assert_published(hub, from_mirror)


def test_a_second_copy_is_kept_and_restores_what_is_damaged_without_any_hub(
    hub: Hub, box: LocalMember
) -> None:
    assert supply(exchange_of(hub), box) == {}
    second = box.root / "second" / hub.commit
    published = box.model / hub.commit
    box.step("copy", {"published": str(published), "second_copy": str(second)})
    assert read(second) == CONTENTS
    (published / SHARD).write_bytes(b"short")
    hub.forget()
    folders = Folders(str(box.model), second_copy=str(second))
    exchange_of(hub).supply(box, folders)
    assert_published(hub, box)
    assert not any(sent(hub, path) for path in CONTENTS)


# --- Peers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [False, True])
def test_each_byte_leaves_the_hub_once_for_four_hosts_and_no_port_stays_open(
    hub: Hub, members: MakeMembers, empty: bool
) -> None:
    fleet = members(4)
    assert supply(exchange_of(hub), *fleet, empty=empty) == {}
    for member in fleet:
        assert_published(hub, member)
        assert not member.serves()
    for path, content in CONTENTS.items():
        assert sum(size for _, size in sent(hub, path)) == len(content), path


def test_a_host_that_has_it_supplies_the_others_while_the_hub_is_gone(
    hub: Hub, members: MakeMembers
) -> None:
    first, second = members(2)
    assert supply(exchange_of(hub), first) == {}
    exchange = exchange_of(hub, endpoint="http://127.0.0.1:9", patience=10.0)
    exchange.add_giver(first, Folders(str(first.model)))
    assert supply(exchange, second) == {}
    assert_published(hub, second)


def test_nothing_leaves_the_hub_before_the_host_that_reads_longest_said_what_it_has(
    hub: Hub, members: MakeMembers
) -> None:
    early, holder = members(2)
    assert supply(exchange_of(hub), holder) == {}
    before = {path: sent(hub, path) for path in CONTENTS}
    exchange = exchange_of(hub)
    exchange.expect([early.name, holder.name])
    failed: dict[str, str] = {}
    thread = threading.Thread(target=lambda: failed.update(supply(exchange, early)))
    thread.start()
    while thread.is_alive() and not any(each.waits for each in exchange._receivers.values()):
        time.sleep(0.01)
    failed |= supply(exchange, holder)
    thread.join()
    assert failed == {}
    assert_published(hub, early)
    assert {path: sent(hub, path) for path in CONTENTS} == before


@pytest.mark.usefixtures("big_shard")
@pytest.mark.parametrize("begun_by", [0, 1, 2])
def test_what_one_host_has_begun_does_not_leave_the_hub_again_to_another(
    hub: Hub, members: MakeMembers, begun_by: int
) -> None:
    fleet = members(3)
    hub.faults.fail(SHARD, 4 << 20)
    fetch_big(hub, fleet[begun_by], patience=0).wait()
    assert supply(exchange_of(hub), *fleet) == {}
    for member in fleet:
        assert_published(hub, member)
    (_, before), (begin, rest) = sent(hub, SHARD)
    assert begin + rest == len(BIG)
    assert before - (1 << 20) < begin


def test_a_host_that_does_not_come_is_not_waited_for_for_ever(
    hub: Hub, members: MakeMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_exchange, "APPEARANCE", 0.2)
    (only,) = members(1)
    exchange = exchange_of(hub)
    exchange.expect([only.name, "lost"])
    assert supply(exchange, only) == {}
    assert_published(hub, only)


def test_a_peer_that_serves_wrong_bytes_is_passed_over_for_the_hub(
    hub: Hub, members: MakeMembers
) -> None:
    liar, victim = members(2)
    assert supply(exchange_of(hub), liar) == {}
    liar.corrupt = SHARD
    said: list[str] = []
    exchange = exchange_of(hub, report=lambda host, line: said.append(f"{host}: {line}"))
    exchange.add_giver(liar, Folders(str(liar.model)))
    assert supply(exchange, victim) == {}
    assert_published(hub, victim)
    assert any(f"box1: {SHARD} from peer box0 has SHA-256" in line for line in said), said


def test_a_member_without_the_secret_gets_nothing(hub: Hub, members: MakeMembers) -> None:
    (giver,) = members(1)
    assert supply(exchange_of(hub), giver) == {}
    request = {
        **{"directory": str(giver.model), "revision": hub.commit, "port": PEER_PORT},
        **{"members": ["127.0.0.1"], "secret": "right", "whole": True},
    }
    giver.step("serve", request)
    address = f"rsync://snapshot@{giver.address}:{PEER_PORT}/snapshot/config.json"
    environment = {**os.environ, "RSYNC_PASSWORD": "wrong"}
    refused = subprocess.run(
        ["rsync", address, str(giver.root / "stolen")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "auth failed" in refused.stderr
    environment["RSYNC_PASSWORD"] = "right"
    read_only = subprocess.run(
        ["rsync", str(giver.model / OLD), address],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert read_only.returncode != 0


# --- Verifying again ------------------------------------------------------------------------------


def verify(folder: Path) -> tuple[int, dict[str, Any]]:
    ran = subprocess.run(
        [sys.executable, PROGRAM, "verify", folder], capture_output=True, text=True, check=False
    )
    return ran.returncode, json.loads(ran.stdout)


def test_verifying_hashes_everything_and_names_what_is_wrong(hub: Hub, box: LocalMember) -> None:
    assert supply(exchange_of(hub), box) == {}
    folder = box.model / hub.commit
    code, result = verify(folder)
    assert (code, result["wrong"], result["files"]) == (0, [], len(CONTENTS))
    assert result["bytes"] == sum(map(len, CONTENTS.values()))
    content = bytearray(CONTENTS[SHARD])
    content[-1] ^= 1
    (folder / SHARD).write_bytes(content)
    (folder / "stray").write_text("")
    code, result = verify(folder)
    assert code == 1
    assert result["wrong"] == [
        f"{SHARD} has SHA-256 {sha256(bytes(content))}; expected {sha256(CONTENTS[SHARD])}",
        "stray is in no manifest",
    ]


def test_a_killed_publish_leaves_a_whole_snapshot_or_none(hub: Hub, box: LocalMember) -> None:
    """Killed a little later each time, until one publication is through."""
    box.before = lambda command: stop_at(command, "publish")
    assert supply(exchange_of(hub), box) == {"box0": "stopped"}
    everything = [
        {"path": path, "size": len(content), "sha256": sha256(content), "blob": None}
        for path, content in CONTENTS.items()
    ]
    request = {"directory": str(box.model), "revision": hub.commit, "files": everything}
    for wait in (0.02, 0.05, 0.06, 0.07, 0.08, 0.1):
        publishing = start_step("publish", request)
        time.sleep(wait)
        publishing.send_signal(signal.SIGKILL)
        publishing.communicate()
        if (box.model / hub.commit).exists():
            assert read(box.model / hub.commit) == CONTENTS
            break
    box.before = lambda command: None
    assert supply(exchange_of(hub), box) == {}
    assert_published(hub, box)
