"""What comes from outside, read without rights and cut at its size: hubs, mirrors and peers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from fortyninety.checkout import ROOT
from fortyninety.on_host.snapshot.processes import fetching_account, started, without_rights
from tests.unit.held_port import held_port
from tests.unit.serving_tls import Stranger, Strangers, reply
from tests.unit.snapshot_members import ACCOUNT, PROGRAM

REVISION = "a" * 40
SMALL = b"0123456789"
SECRET = "a-secret-for-this-run"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
# What a step may have written of a file too long, before it is cut: beyond the size of the file.
SPARE = 1 << 20


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Box:
    """A host as a folder, whose steps run as processes of their own."""

    def __init__(self, root: Path) -> None:
        self.model = root / "model"
        self.partial = self.model / f".partial-{REVISION}"
        self.incoming = self.model / f".incoming-{REVISION}"

    def fetch(
        self,
        source: dict[str, Any],
        content: bytes = SMALL,
        path: str = "config.json",
        *,
        limit: int | None = None,
        **environment: str,
    ) -> tuple[int, str]:
        """Run the step for one file: its exit code, and what it said.

        No process of it may write more than `limit` bytes into a file.
        """
        file = {"path": path, "size": len(content), "sha256": sha256(content), "blob": None}
        request = {"directory": str(self.model), "revision": REVISION, "files": [file]}
        limits = [] if limit is None else ["prlimit", f"--fsize={limit}", "--"]
        ran = subprocess.run(
            [*limits, sys.executable, str(PROGRAM), "fetch"],
            input=json.dumps({**request, "source": source, "account": ACCOUNT}),
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert len(ran.stderr.splitlines()) <= 1, ran.stderr
        return ran.returncode, ran.stderr.strip()

    def assert_nothing_stored(self) -> None:
        assert not [path for path in self.partial.rglob("*") if path.is_file()]
        left = [path for path in self.incoming.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in left) <= len(SMALL)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def mirror(stranger: Stranger) -> dict[str, Any]:
    return {"kind": "mirror", "source": stranger.endpoint, "patience": 0}


def hub(stranger: Stranger, token: str | None = None) -> dict[str, Any]:
    return {
        **{"kind": "hub", "endpoint": stranger.endpoint, "repository": "some/model"},
        **{"revision": REVISION, "token": token, "patience": 0},
    }


# Streams


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def slowly_endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(SMALL)
    endless(handler)


def far_too_long(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, bytes(16 << 20))


def compressed(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, bytes(1 << 20), Content_Encoding="gzip")


@pytest.mark.parametrize("answer", [endless, slowly_endless, far_too_long, compressed])
def test_a_stream_that_does_not_end_is_cut_at_the_size_of_the_file(
    box: Box, strangers: Strangers, answer: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    code, said = box.fetch(mirror(strangers(answer, tls=False)), limit=len(SMALL) + SPARE)
    assert (code, said.endswith("has more than 10 bytes; expected 10 bytes (2 times)")) == (4, True)
    box.assert_nothing_stored()


def endless_error(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(500)
    handler.end_headers()
    while True:
        handler.wfile.write(b"<html>" * 10_000)


def loop(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, status=302, Location="/again")


def to_a_file(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, status=302, Location="file:///etc/passwd")


def to_nonsense(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, status=302, Location="http://[::1")


def escape_sequences(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x1b[2J\x07\r\n\r\n" * 1000)


def wrong_range(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, SMALL, 206, Content_Range="bytes 7-16/17")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (endless_error, 3),
        (loop, 5),
        (to_a_file, 5),
        (to_nonsense, 3),
        (escape_sequences, 3),
        (wrong_range, 5),
    ],
)
def test_an_answer_that_is_none_ends_in_one_line(
    box: Box, strangers: Strangers, answer: Callable[[BaseHTTPRequestHandler], None], code: int
) -> None:
    ended, said = box.fetch(mirror(strangers(answer, tls=False)))
    assert ended == code, said
    assert said.isprintable()
    assert len(said) < 600
    box.assert_nothing_stored()


def test_a_mirror_that_knows_no_ranges_sends_the_file_from_its_beginning(
    box: Box, strangers: Strangers
) -> None:
    begun = box.incoming / "arriving" / "config.json"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(SMALL[:4])
    assert box.fetch(mirror(strangers(lambda to: reply(to, SMALL), tls=False))) == (0, "")
    assert (box.partial / "config.json").read_bytes() == SMALL


def test_what_was_begun_and_is_wrong_is_no_fault_of_the_next_source(
    box: Box, strangers: Strangers
) -> None:
    begun = box.incoming / "arriving" / "config.json"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(b"XXXX")

    def ranges(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        span = f"bytes {start}-9/10"
        reply(handler, SMALL[start:], 206 if asked else 200, Content_Range=span)

    stranger = strangers(ranges, tls=False)
    assert box.fetch(mirror(stranger)) == (0, "")
    assert len(stranger.paths) == 2
    assert (box.partial / "config.json").read_bytes() == SMALL


def test_names_are_quoted_on_their_way(box: Box, strangers: Strangers) -> None:
    stranger = strangers(lambda to: reply(to, SMALL), tls=False)
    assert box.fetch(mirror(stranger), path="a b/c#d?e%2f.json") == (0, "")
    assert stranger.paths == ["/a%20b/c%23d%3Fe%252f.json"]


# The token


def test_a_token_goes_to_the_hub_alone_whatever_it_redirects_to(
    box: Box, strangers: Strangers, certificate: Path
) -> None:
    storage = strangers(lambda to: reply(to, SMALL))

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        if handler.path != "/moved":
            reply(handler, status=307, Location="/moved")
        else:
            reply(handler, status=302, Location=f"{storage.endpoint}/signed")

    address = strangers(redirect)
    code = box.fetch(hub(address, "hf_secret"), SSL_CERT_FILE=str(certificate))
    assert code == (0, "")
    assert address.tokens == ["Bearer hf_secret"] * 2
    assert storage.tokens == [None]


def test_a_token_is_not_sent_where_others_could_read_it(box: Box, strangers: Strangers) -> None:
    stranger = strangers(lambda to: reply(to, SMALL), tls=False)
    code, said = box.fetch(hub(stranger, "hf_secret"))
    assert code == 5
    assert "is not https: the token (hub_token) would be readable" in said
    assert "hf_secret" not in said
    assert stranger.paths == []


def test_what_was_asked_for_by_https_does_not_come_by_http(
    box: Box, strangers: Strangers, certificate: Path
) -> None:
    plain = strangers(lambda to: reply(to, SMALL), tls=False)
    address = strangers(lambda to: reply(to, status=302, Location=f"{plain.endpoint}/x"))
    code, said = box.fetch(hub(address, "hf_secret"), SSL_CERT_FILE=str(certificate))
    assert (code, "redirects from https to http" in said) == (5, True)
    assert plain.paths == []


def test_a_hub_with_an_unknown_certificate_is_told_nothing(box: Box, strangers: Strangers) -> None:
    stranger = strangers(lambda to: reply(to, SMALL))
    code, said = box.fetch(hub(stranger, "hf_secret"))
    assert (code, "CERTIFICATE_VERIFY_FAILED" in said) == (3, True)
    assert stranger.paths == []


# Rights


def processes(word: str) -> list[dict[str, str]]:
    """The state of those processes of this machine whose command line has a word in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_text().split("\0")
            if word in words and words[0].endswith(("python", "python3", "rsync", "python3.11")):
                lines = (folder / "status").read_text().splitlines()
                fields = (line.partition(":") for line in lines)
                state = {name: value.strip() for name, _, value in fields}
                state["cmdline"] = " ".join(words)
                state["environ"] = (folder / "environ").read_text()
                found.append(state)
    return found


def assert_without_rights(state: dict[str, str]) -> None:
    user = fetching_account(ACCOUNT)
    assert user is not None
    assert state["Uid"].split() == [str(user.user)] * 4
    assert state["Gid"].split() == [str(user.group)] * 4
    assert state["Groups"].split() in ([], [str(user.group)])
    assert int(state["CapEff"], 16) == int(state["CapPrm"], 16) == int(state["CapAmb"], 16) == 0
    assert state["NoNewPrivs"] == "1"
    assert "ROOTS_OWN" not in state["environ"]
    # In a PID namespace of its own, which ends with its first process.
    assert len(state["NSpid"].split()) == 2


@as_root
def test_what_reads_from_a_hub_has_no_rights_and_no_secret_on_its_command_line(
    box: Box, strangers: Strangers, certificate: Path
) -> None:
    seen: list[dict[str, str]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.extend(processes("read"))
        reply(handler, SMALL)

    address = strangers(answer)
    environment = {"SSL_CERT_FILE": str(certificate), "ROOTS_OWN": "x"}
    assert box.fetch(hub(address, "hf_secret"), **environment) == (0, "")
    (state,) = [each for each in seen if str(PROGRAM) in each["cmdline"]]
    assert_without_rights(state)
    assert "hf_secret" not in state["cmdline"] + state["environ"]
    assert (box.partial / "config.json").stat().st_uid == 0


@as_root
def test_the_account_cannot_be_root() -> None:
    with pytest.raises(Exception, match="account root is root"):
        fetching_account("root")


@as_root
def test_nothing_that_a_reading_process_started_outlives_it() -> None:
    account = fetching_account(ACCOUNT)
    # It detaches, as a process that wants to stay does, and says that it did.
    script = "setsid sh -c 'exec sleep 31415' </dev/null >/dev/null 2>&1 & echo here; exec sleep 60"
    with started(
        without_rights(["sh", "-c", script], account),
        account=account,
        environment={},
        largest_file=0,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.popen.stdout is not None
        assert process.popen.stdout.readline() == b"here\n"
        assert eventually(lambda: sleeping("31415"))
    assert eventually(lambda: not sleeping("31415"))


def sleeping(seconds: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_text().split("\0")[:2] == ["sleep", seconds]:
                return True
    return False


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# Peers


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """A peer that serves a folder with options of its own, by a real rsync daemon."""
    daemons: list[subprocess.Popen[bytes]] = []
    folder = tmp_path / "peer"
    (folder / "export").mkdir(parents=True)
    (folder / "secret").touch(mode=0o600)
    (folder / "secret").write_text(f"snapshot:{SECRET}\n")

    held = contextlib.ExitStack()

    def serve(*options: str) -> dict[str, Any]:
        port = held.enter_context(held_port())
        user = "root" if os.geteuid() == 0 else str(os.geteuid())
        lines = [
            *(f"port = {port}", "address = 127.0.0.1", f"lock file = {folder}/lock"),
            *("use chroot = no", f"uid = {user}", "[snapshot]", f"path = {folder}/export"),
            *("auth users = snapshot", f"secrets file = {folder}/secret", *options),
        ]
        (folder / "rsyncd.conf").write_text("\n".join(lines) + "\n")
        command = ["rsync", "--daemon", "--no-detach", f"--config={folder}/rsyncd.conf"]
        daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        assert eventually(lambda: listens(port))
        return {
            **{"kind": "peer", "name": "box7", "address": "127.0.0.1", "port": port},
            "secret": SECRET,
        }

    with held:
        yield serve
        for daemon in daemons:
            daemon.terminate()
            daemon.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


Peer = Callable[..., dict[str, Any]]


def test_a_peer_gives_a_file_and_goes_on_where_it_was_cut(
    box: Box, peer: Peer, tmp_path: Path
) -> None:
    content = os.urandom(3 << 20)
    path = "sub/a [1]*.bin"
    (tmp_path / "peer/export/sub").mkdir()
    (tmp_path / "peer/export" / path).write_bytes(content)
    begun = box.incoming / "arriving" / path
    begun.parent.mkdir(parents=True)
    begun.write_bytes(content[: 2 << 20])
    log = tmp_path / "peer/log"
    source = peer(f"log file = {log}", "transfer logging = yes", "log format = passed-on %b")
    assert box.fetch(source, content, path) == (0, "")
    assert (box.partial / path).read_bytes() == content
    assert eventually(lambda: "passed-on" in log.read_text())
    (line,) = [line for line in log.read_text().splitlines() if "passed-on" in line]
    assert int(line.rpartition(" ")[2]) < 2 << 20
    assert not (box.incoming / "peer").exists()


def test_a_peers_300_mb_for_a_file_of_10_bytes_are_not_stored(
    box: Box, peer: Peer, tmp_path: Path
) -> None:
    with (tmp_path / "peer/export/config.json").open("wb") as file:
        file.truncate(300 * 10**6)
    code, said = box.fetch(peer(), limit=len(SMALL) + SPARE)
    assert code in (3, 4), said
    assert "config.json from peer box7" in said
    box.assert_nothing_stored()


@pytest.mark.parametrize("what", ["folder", "link", "nothing", "short", "other"])
def test_a_peer_that_has_something_else_there_gives_nothing(
    box: Box, peer: Peer, tmp_path: Path, what: str
) -> None:
    export = tmp_path / "peer/export"
    (export / "secret").write_bytes(SMALL)
    if what == "folder":
        (export / "config.json").mkdir()
        for number in range(100):
            (export / "config.json" / str(number)).write_bytes(SMALL)
    elif what == "link":
        (export / "config.json").symlink_to("secret")
    elif what in ("short", "other"):
        (export / "config.json").write_bytes({"short": b"0123", "other": b"012345678X"}[what])
    code, said = box.fetch(peer())
    assert code in (3, 4), said
    assert "config.json from peer box7" in said
    box.assert_nothing_stored()


def test_what_a_peer_says_is_cut_off_and_printable(box: Box, peer: Peer, tmp_path: Path) -> None:
    motd = tmp_path / "motd"
    motd.write_bytes(b"\x1b[2J" * 100_000)
    source = peer(f"pre-xfer exec = cat {motd}; exit 1")
    code, said = box.fetch(source)
    assert code == 3
    assert said.isprintable()
    assert len(said) < 600


@as_root
def test_what_reads_from_a_peer_has_no_rights_and_the_secret_is_not_on_its_command_line(
    box: Box, peer: Peer, tmp_path: Path
) -> None:
    (tmp_path / "peer/export/config.json").write_bytes(SMALL)
    log = tmp_path / "seen"
    look = tmp_path / "look.py"
    look.write_text(
        f"import json, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.unit.on_host.snapshot.test_sources import processes\n"
        f"open({str(log)!r}, 'w').write(json.dumps(processes('--files-from=-')))\n"
    )
    assert box.fetch(peer(f"pre-xfer exec = {sys.executable} {look}"), ROOTS_OWN="x") == (0, "")
    seen = json.loads(log.read_text())
    assert seen
    for state in seen:
        assert_without_rights(state)
        assert SECRET not in state["cmdline"]


def test_the_process_that_reads_loads_no_command_line() -> None:
    """That of its HTTP client, with what draws on terminals, took a third of each fetch's start."""
    code = (
        "import sys; from fortyninety.on_host.snapshot.reader import _Reader; "
        "_Reader({'kind': 'hub'}); print('httpx' in sys.modules, 'rich' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["True", "False"]
