"""How a step of the snapshot program is run on a host, and what becomes of whatever it answers."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fortyninety.connection.shell import HostLost
from fortyninety.fleet import member as host_member
from fortyninety.fleet.member import HostMember, bytes_here
from fortyninety.model.steps import LOCAL, WRONG_BYTES, Late, Silent, StepFailed, read_answer

# Why hosts may not be changed any more, by name.
refused: dict[str, str] = {}


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostMember:
    """A host that is this machine; its snapshot program is the text of `tmp_path`/program."""
    monkeypatch.setattr(host_member, "KILL_AFTER", 1)
    monkeypatch.setattr(host_member, "shell", run_here)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/bin/sh")
    paths = SimpleNamespace(tools=str(tmp_path), snapshot_program=str(tmp_path / "program"))
    settings = SimpleNamespace(peer_address="10.0.0.1")
    return HostMember(
        SimpleNamespace(name="box0", data={}),  # type: ignore[arg-type]
        SimpleNamespace(paths=paths, settings=settings),  # type: ignore[arg-type]
        obstacle=lambda host: refused.get(host.name),
    )


def run_here(host: Any, command: str, *, timeout: float, _stdin: str = "") -> Any:
    ran = subprocess.run(
        ["/bin/sh", "-c", command],
        input=_stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return SimpleNamespace(
        stdout=ran.stdout, stdout_lines=ran.stdout.splitlines(), stderr=ran.stderr
    )


def let_it(member: HostMember, tmp_path: Path, script: str, seconds: float = 60) -> object:
    (tmp_path / "program").write_text(script)
    return member.step("fetch", {"secret": "in no command line"}, seconds)


def test_the_request_goes_in_and_the_answer_comes_out(member: HostMember, tmp_path: Path) -> None:
    assert let_it(member, tmp_path, "cat; echo") == {"secret": "in no command line"}


def test_nothing_is_done_on_a_host_whose_lease_is_lost(
    member: HostMember, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(refused, "box0", "alice@laptop has its lease")
    with pytest.raises(StepFailed, match="alice@laptop has its lease"):
        let_it(member, tmp_path, f"touch {tmp_path}/done; echo {{}}")
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("script", ["sleep 60", "trap '' TERM; sleep 60 & wait; sleep 60"])
def test_the_host_itself_ends_a_step_that_takes_too_long(
    member: HostMember, tmp_path: Path, script: str
) -> None:
    marker = f"{tmp_path}/program"
    with pytest.raises(Late):
        let_it(member, tmp_path, script, 0.5)
    left = subprocess.run(
        ["pgrep", "-f", shlex.quote(marker)], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""


def test_a_program_that_fails_says_why_in_its_last_line(member: HostMember, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"^a\.bin from the hub is wrong$") as failed:
        let_it(member, tmp_path, "echo Retrying >&2; echo a.bin from the hub is wrong >&2; exit 4")
    assert failed.value.exit_code == WRONG_BYTES


def test_a_host_that_is_lost_is_silent(member: HostMember, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*arguments: Any, **options: Any) -> Any:
        raise HostLost("has not answered for 30 s")

    monkeypatch.setattr(host_member, "shell", lost)
    with pytest.raises(Silent, match="has not answered for 30 s"):
        member.step("inspect", {}, 10)


@pytest.mark.parametrize(
    ("lines", "errors"),
    [
        ([], ""),
        (["0"], ""),
        (["", "0"], ""),
        (["not JSON", "0"], ""),
        (["{", "0"], ""),
        (["[" * 100_000, "0"], ""),
        (["1" * 5000, "0"], ""),
        (['"' + "x" * 10**7 + '"', "0"], ""),
        (["{}", "²"], ""),
        (["{}", "1" * 5000], "x" * 10**6),
        (["{}", "-1"], "\x1b]0;owned\x07\n\x1b[2J\u202egnp"),
        (["{}"], "\x00"),
    ],
)
def test_whatever_a_host_prints_is_a_step_that_failed_in_one_line(
    lines: list[str], errors: str
) -> None:
    with pytest.raises(StepFailed) as failed:
        read_answer(lines, errors)
    said = str(failed.value)
    assert failed.value.exit_code == LOCAL
    assert said and said.isprintable() and len(said) < 600


@pytest.mark.parametrize(
    ("said", "here"),
    [("12\n", 12), ("", None), ("-1", None), ("²", None), ("1" * 16, None), ("1\n2", None)],
)
def test_progress_is_a_number_or_nothing(
    monkeypatch: pytest.MonkeyPatch, said: str, here: int | None
) -> None:
    monkeypatch.setattr(
        host_member, "shell", lambda *arguments, **options: SimpleNamespace(stdout=said)
    )
    assert bytes_here(SimpleNamespace(), "/srv") == here  # type: ignore[arg-type]
