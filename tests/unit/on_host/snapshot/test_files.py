"""What steps may touch as root: nothing outside the model's folder, whatever was put there before.

The steps run here in this process, with a folder as source, which needs no other process.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fortyninety.on_host.checkpoint_files import File, FileListError, manifest_text
from fortyninety.on_host.snapshot import lock, publish
from fortyninety.on_host.snapshot.__main__ import step
from fortyninety.on_host.snapshot.failures import Failure
from fortyninety.on_host.snapshot.folder import Folder
from fortyninety.on_host.snapshot.lock import alone
from fortyninety.on_host.snapshot.places import opened
from fortyninety.on_host.snapshot.verified import note_verified, noted
from fortyninety.on_host.snapshot.verify import verify
from tests.unit.on_host.test_checkpoint_files import HOSTILE_LISTS, HOSTILE_NAMES

REVISION, OTHER = "a" * 40, "b" * 40
CONTENTS = {"config.json": b"{}\n", "sub/one.safetensors": b"one" * 1000, "sub/deep/two": b"two"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listed(contents: dict[str, bytes] = CONTENTS) -> list[dict[str, Any]]:
    return [
        {"path": path, "size": len(content), "sha256": sha256(content), "blob": None}
        for path, content in contents.items()
    ]


class Box:
    """A host: a folder for models, one with the right files to fetch from, and one outside."""

    def __init__(self, root: Path) -> None:
        self.model, self.source, self.outside = (root / "model", root / "source", root / "outside")
        write(self.source, CONTENTS)
        # Right content too: what a link leads to is then tempting.
        write(self.outside, {"precious": b"precious", "folder/file": b"kept", **CONTENTS})
        self.model.mkdir()
        self.before = tree(self.outside)

    def step(self, command: str, **changes: Any) -> dict[str, Any]:
        request = {
            "directory": str(self.model),
            "revision": REVISION,
            "files": listed(),
            "account": "nobody",
            "source": {"kind": "mirror", "source": str(self.source)},
            **changes,
        }
        return step(command, request)

    def deploy(self, **changes: Any) -> None:
        """All that a deploy does on one host."""
        here = self.step("inspect", **changes)["verified"]
        lacking = [file for file in listed() if file["path"] not in here]
        if lacking:
            self.step("fetch", files=lacking)
        self.step("publish")

    def assert_published(self) -> None:
        """Exactly the files, each root's own and no link, and nothing outside has changed."""
        published = self.model / REVISION
        assert stat.S_ISDIR(published.lstat().st_mode)
        found = {}
        for path in published.rglob("*"):
            state = path.lstat()
            assert state.st_uid == os.geteuid()
            if stat.S_ISDIR(state.st_mode):
                assert stat.S_IMODE(state.st_mode) == 0o755
                continue
            assert stat.S_ISREG(state.st_mode), path
            assert stat.S_IMODE(state.st_mode) == 0o644
            found[str(path.relative_to(published))] = path.read_bytes()
        manifest = found.pop(".fortyninety-manifest").decode()
        files = [File(path, len(each), sha256(each), None) for path, each in CONTENTS.items()]
        assert manifest == manifest_text(files)
        assert found == CONTENTS
        assert tree(self.outside) == self.before
        assert {path.name for path in self.model.iterdir()} <= {REVISION, OTHER}


def write(folder: Path, contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that is below a folder: kind, mode, owner, times and content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        state = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(state.st_mode) else None
        times = (state.st_mtime_ns, state.st_nlink)
        found[str(path)] = (state.st_mode, state.st_uid, times, content)
    return found


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_deploy_publishes_exactly_what_the_list_says(box: Box) -> None:
    box.deploy()
    box.assert_published()
    box.deploy()
    box.assert_published()


# Lists


@pytest.mark.parametrize("command", ["inspect", "fetch", "publish"])
def test_no_step_takes_a_hostile_list_and_nothing_on_the_disk_changes(
    box: Box, command: str, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    for files in HOSTILE_LISTS.values():
        with pytest.raises(FileListError):
            box.step(command, files=files)
    for name in HOSTILE_NAMES.values():
        hostile = {"path": name, "size": 1, "sha256": "a" * 64, "blob": None}
        with pytest.raises(FileListError):
            box.step(command, files=[*listed(), hostile])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["/etc/cron.d/job", "../outside/precious", "sub/../../outside/x"])
def test_a_hostile_manifest_of_another_commit_names_nothing(box: Box, name: str) -> None:
    content = (box.outside / "precious").read_bytes()
    write(box.model / OTHER, {"x": b"x"})
    manifest = f"{sha256(content)}  {len(content)}  {name}\n"
    (box.model / OTHER / ".fortyninety-manifest").write_text(manifest)
    wanted = [{"path": "x", "size": len(content), "sha256": sha256(content), "blob": None}]
    assert box.step("inspect", files=wanted)["verified"] == {}
    assert tree(box.outside) == box.before
    with pytest.raises(Failure, match="cannot be used"):
        verify(box.model / OTHER)


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "../" + "a" * 37},
        {"revision": "main"},
        {"revision": None},
        {"directory": "model"},
        {"directory": "/tmp/../etc"},
        {"directory": 7},
        {"source": {"kind": "exec"}},
        {"source": {"kind": "peer", "address": "-e sh", "port": 1, "secret": "x" * 20}},
        {"source": {"kind": "peer", "address": "a/b", "port": 1, "secret": "x" * 20}},
        {"source": {"kind": "hub", "repository": "a b", "revision": REVISION}},
        {"source": {"kind": "mirror", "source": "file:///etc"}},
        {"source": {"kind": "mirror", "source": "http://user:password@mirror"}},
        {"account": "root"},
    ],
    ids=str,
)
def test_a_request_that_is_not_one_is_refused(box: Box, change: dict[str, Any]) -> None:
    with pytest.raises(Failure):
        box.step("fetch", **change)
        pytest.skip("root alone has an account to give up") if os.geteuid() else None
    assert tree(box.outside) == box.before


# Links


def link_folder(path: Path, outside: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside, target_is_directory=True)


def link_file(path: Path, outside: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside / "precious")


def link_to_right_file(path: Path, outside: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside / "config.json")


PARTIAL, INCOMING = f".partial-{REVISION}", f".incoming-{REVISION}"
PLANTED: list[tuple[str, Callable[[Path, Path], None]]] = [
    (PARTIAL, link_folder),
    (f"{PARTIAL}/sub", link_folder),
    (f"{PARTIAL}/sub/deep", link_folder),
    (f"{PARTIAL}/stray", link_folder),
    (f"{PARTIAL}/config.json", link_file),
    (f"{PARTIAL}/config.json", link_to_right_file),
    (f"{PARTIAL}/config.json", link_folder),
    (f"{PARTIAL}/.fortyninety-manifest", link_file),
    (INCOMING, link_folder),
    (f"{INCOMING}/verified", link_file),
    (f"{INCOMING}/arriving", link_folder),
    (f"{INCOMING}/arriving/sub", link_folder),
    (f"{INCOMING}/arriving/config.json", link_file),
    (f"{INCOMING}/arriving/config.json", link_to_right_file),
    (f"{INCOMING}/peer", link_folder),
    (f"{INCOMING}/hub/.cache", link_folder),
    (f".lock-{REVISION}", link_file),
    (f".lock-{REVISION}", link_folder),
    (REVISION, link_folder),
    (REVISION, link_file),
    (f"{REVISION}/sub", link_folder),
    (f"{REVISION}/config.json", link_to_right_file),
    (f"{REVISION}/stray", link_folder),
    (OTHER, link_folder),
    (f"{OTHER}/.fortyninety-manifest", link_file),
]


@pytest.mark.parametrize(
    ("place", "plant"), PLANTED, ids=[f"{place}-{plant.__name__}" for place, plant in PLANTED]
)
def test_no_link_leads_a_step_out_of_the_models_folder(
    box: Box, place: str, plant: Callable[[Path, Path], None]
) -> None:
    plant(box.model / place, box.outside)
    box.deploy()
    box.assert_published()


def test_links_that_stand_between_the_steps_lead_nowhere_either(box: Box) -> None:
    for place, plant in PLANTED:
        if place.startswith((PARTIAL, INCOMING)) and place not in (PARTIAL, INCOMING):
            box.step("inspect")
            box.step("fetch")
            target = box.model / place
            with Folder.open(box.model) as model:
                model.remove(place)
            plant(target, box.outside)
            try:
                box.step("publish")
            except Failure:
                box.deploy()
            box.assert_published()


def test_a_model_folder_that_is_a_link_is_refused(box: Box) -> None:
    box.model.rmdir()
    box.model.symlink_to(box.outside)
    with pytest.raises(Failure, match="is not a folder"):
        box.deploy()
    assert tree(box.outside) == box.before


def test_a_second_copy_with_links_is_not_followed(box: Box, tmp_path: Path) -> None:
    second = tmp_path / "second" / REVISION
    link_to_right_file(second / "config.json", box.outside)
    link_folder(second / "sub", box.outside / "sub")
    box.deploy(second_copy=str(second))
    box.assert_published()
    copy = {"published": str(box.model / REVISION), "second_copy": str(second)}
    box.step("copy", **copy)
    assert {path: (second / path).read_bytes() for path in CONTENTS} == CONTENTS
    assert not any(path.is_symlink() for path in second.rglob("*"))
    assert tree(box.outside) == box.before


def test_a_pipe_or_a_device_in_the_way_is_not_waited_for(box: Box) -> None:
    for place in (f"{PARTIAL}/config.json", f"{INCOMING}/arriving/config.json", f"{REVISION}/x"):
        (box.model / place).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(box.model / place)
    box.deploy()
    box.assert_published()


# Owners


@as_root
def test_what_others_own_or_may_write_to_is_copied_and_not_taken_as_it_is(box: Box) -> None:
    box.deploy()
    (box.model / REVISION).rename(box.model / OTHER)
    os.chown(box.model / OTHER / "config.json", 65534, 65534)
    (box.model / OTHER / "sub/deep/two").chmod(0o666)
    writable = os.open(box.model / OTHER / "config.json", os.O_RDWR)
    box.source.rename(box.source.with_name("gone"))
    box.deploy()
    os.pwrite(writable, b"XX", 0)
    os.close(writable)
    box.assert_published()
    published, other = box.model / REVISION, box.model / OTHER
    assert published.joinpath("sub/deep/two").stat().st_nlink == 1
    # What is root's own is on the disk once.
    assert published.joinpath("sub/one.safetensors").samefile(other / "sub/one.safetensors")


@as_root
@pytest.mark.parametrize("place", [PARTIAL, INCOMING, f"{PARTIAL}/sub", f"{INCOMING}/arriving"])
def test_a_folder_that_others_may_write_to_is_made_anew(box: Box, place: str) -> None:
    box.step("inspect")
    box.step("fetch")
    folder = box.model / place
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    handle = os.open(folder, os.O_RDONLY)
    box.deploy()
    with pytest.raises(FileNotFoundError):
        os.close(os.open("planted", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)
    box.assert_published()


@as_root
def test_a_model_folder_of_somebody_elses_is_refused(box: Box) -> None:
    os.chown(box.model, 65534, 65534)
    with pytest.raises(Failure, match="has owner 65534"):
        box.step("inspect")
    os.chown(box.model, 0, 0)
    box.model.chmod(0o777)
    with pytest.raises(Failure, match="mode 777"):
        box.step("inspect")


def test_no_file_is_published_with_a_mode_that_lets_it_do_more(box: Box) -> None:
    box.step("inspect")
    box.step("fetch")
    (box.model / PARTIAL / "config.json").chmod(0o6755)
    box.step("publish")
    box.assert_published()


# Notes


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        "7",
        "null",
        "[" * 100_000,
        '["config.json"]',
        json.dumps(["../outside/precious", 8, 0, 0, "boot", "a" * 64]),
        json.dumps([["config.json"], 3, 0, 0, "boot", "a" * 64]),
        json.dumps(["config.json", 10**400, -1, None, {}, "a" * 64]),
        json.dumps(["config.json", 3, 0, 0, "boot", 7]),
        json.dumps(["config.json", 3, 0, 0, "boot", "../../x"]),
    ],
    ids=range(11),
)
def test_notes_that_say_odd_things_say_nothing(box: Box, line: str) -> None:
    box.step("inspect")
    box.step("fetch")
    notes = box.model / INCOMING / "verified"
    notes.write_text(f"{line}\n{notes.read_text()}")
    (box.model / PARTIAL / "config.json").write_bytes(b"!!\n")
    with pytest.raises(Failure, match="this host has SHA-256"):
        box.step("publish")
    box.deploy()
    box.assert_published()


def test_notes_hold_for_a_file_as_it_was_when_it_was_hashed(box: Box) -> None:
    file = File("config.json", 3, sha256(b"{}\n"), None)
    with Folder.open(box.model) as model, opened(model, REVISION) as places:
        path = box.model / PARTIAL / "config.json"
        path.write_bytes(b"{}\n")
        note_verified(places, file, sha256(b"{}\n"))
        assert noted(places, [file]) == {"config.json": file.sha256}
        assert noted(places, [File("config.json", 3, "c" * 64, None)]) == {}
        path.write_bytes(b"!!\n")
        assert noted(places, [file]) == {}


# Power


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What reaches the disk and what gets a name, in their order."""
    seen: list[tuple[str, str]] = []
    real = {"fsync": os.fsync, "rename": os.rename, "write": os.write, "utime": os.utime}

    def name(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def fsync(descriptor: int) -> None:
        seen.append(("fsync", name(descriptor)))
        real["fsync"](descriptor)

    def write(descriptor: int, content: Any) -> Any:
        seen.append(("write", name(descriptor)))
        return real["write"](descriptor, content)

    def utime(descriptor: int, *arguments: Any) -> None:
        seen.append(("write", name(descriptor)))
        real["utime"](descriptor, *arguments)

    def rename(one: str, other: str, **folders: int) -> None:
        seen.append(("rename", f"{name(folders['dst_dir_fd'])}/{other}"))
        real["rename"](one, other, **folders)

    def exchange(folder: Folder, one: str, other: str) -> None:
        seen.append(("rename", f"{folder.path}/{other}"))
        swapped(folder, one, other)

    swapped = publish.exchange
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "utime", utime)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(publish, "exchange", exchange)
    yield seen


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_everything_is_on_the_disk_before_the_name_that_says_so(
    box: Box, calls: list[tuple[str, str]], again: bool
) -> None:
    if again:
        box.deploy()
        (box.model / REVISION / "config.json").write_bytes(b"")
        calls.clear()
    box.deploy()
    box.assert_published()
    named = calls.index(("rename", str(box.model / REVISION)))
    partial = box.model / PARTIAL
    files = [partial / path for path in (*CONTENTS, ".fortyninety-manifest")]
    folders = {
        parent for path in files for parent in path.parents if partial in (parent, *parent.parents)
    }
    for path in {*files, *folders}:
        last_write = max(
            (place for place, call in enumerate(calls) if call == ("write", str(path))), default=-1
        )
        synchronised = [
            place for place, call in enumerate(calls[:named]) if call == ("fsync", str(path))
        ]
        assert synchronised, f"{path} has its name before it is on the disk"
        assert max(synchronised) > last_write
    assert ("fsync", str(box.model)) in calls[named:], "the name itself may be lost"


@pytest.mark.parametrize("lost", [*CONTENTS, ".fortyninety-manifest"])
@pytest.mark.parametrize("left", [b"", b"\0" * 3], ids=["empty", "zeros"])
def test_a_snapshot_that_lost_its_content_is_put_right(box: Box, lost: str, left: bytes) -> None:
    box.deploy()
    (box.model / REVISION / lost).write_bytes(left)
    box.deploy()
    box.assert_published()


# The lock


def test_a_process_that_a_lock_only_names_is_left_alone(box: Box) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    path = box.model / f".lock-{REVISION}"
    path.write_text(str(bystander.pid))
    path.chmod(0o644)
    try:
        with path.open() as held:  # as any process could where others may read it
            fcntl.flock(held, fcntl.LOCK_EX)
            with Folder.open(box.model) as model, alone(model, REVISION):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_who_holds_a_lock_is_said_by_the_kernel(box: Box) -> None:
    script = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'r+'); "
        "fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); time.sleep(60)"
    )
    path = box.model / f".lock-{REVISION}"
    path.touch(mode=0o600)
    holder = subprocess.Popen(["python3", "-c", script, path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with path.open("r+") as file:
            assert lock._holder(file.fileno()) == holder.pid
        with Folder.open(box.model) as model, alone(model, REVISION):
            assert holder.wait(timeout=50) != 0
    finally:
        holder.kill()
        holder.communicate()


# Verifying again


def test_verify_follows_no_link_and_prints_no_control_character(box: Box) -> None:
    box.deploy()
    published = box.model / REVISION
    (published / "config.json").unlink()
    (published / "config.json").symlink_to(box.outside / "config.json")
    (published / "stray\x1b[2J\n").write_text("")
    found = verify(published)
    assert [line.partition(":")[0] for line in found["wrong"]] == [
        "config.json cannot be opened as a file",
        "stray?[2J is in no manifest",
    ]
    assert tree(box.outside) == box.before
