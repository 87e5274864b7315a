"""The survey's script runs on this machine too; what it prints is read without loss."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from fortyninety.survey.fact import Survey
from fortyninety.survey.kinds import KINDS
from fortyninety.survey.reading import HostReading
from fortyninety.survey.request import SurveyRequest
from tests.unit.readings import records


def survey(directory: Path, boot: str = "/boot", **changes: str | tuple[str, ...]) -> HostReading:
    """The reading of this machine, whose kernels are those of the folder `boot`."""
    values = {
        "files": (),
        "packages": ("dpkg",),
        "units": (),
        "service": "no-such.service",
        "user": "root",
        "snapshot": str(directory / "snapshot"),
        "models_directory": str(directory / "not" / "made" / "yet"),
        "install_directory": str(directory / "install"),
        **changes,
    }
    asked = Survey()
    command = asked.command(SurveyRequest(**{"port": 1, **values}))  # type: ignore[arg-type]
    command = re.sub(r"/boot(?=[ /])", boot, command)
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    reading = asked.process(ran.stdout.splitlines())
    assert reading.unreadable is None
    return reading


def test_it_reads_the_machine_it_runs_on(tmp_path: Path) -> None:
    reading = survey(tmp_path)
    assert reading.readable
    assert reading.os.machine
    assert len(reading.os.boot_id) == 36
    assert reading.processor.name
    assert {"fpu", "sse2"} <= reading.processor.flags
    assert reading.installed("dpkg")
    assert reading.account.entry and reading.account.entry.startswith("root:")
    assert "root" in reading.account.groups
    assert reading.disk.free_bytes > 0


def test_files_come_with_hash_mode_and_target(tmp_path: Path) -> None:
    file, link, absent = tmp_path / "file", tmp_path / "link", tmp_path / "absent"
    file.write_text("abc")
    file.chmod(0o640)
    link.symlink_to("file")
    reading = survey(tmp_path, files=(str(file), str(link), str(absent)))
    assert reading.files[str(file)].sha256 == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert reading.files[str(file)].mode == "640"
    assert reading.files[str(link)].target == "file"
    assert str(absent) not in reading.files


def test_an_initramfs_older_than_what_it_is_to_hold_is_said(tmp_path: Path) -> None:
    boot, file = tmp_path / "boot", tmp_path / "nouveau.conf"
    boot.mkdir()
    file.touch()
    written = file.stat().st_mtime_ns
    made = {
        "6.1.0-1": 0,
        "6.1.0-2": written - 10**7,
        "6.1.0-3": written,
        "6.1.0-4": written + 10**7,
    }
    for kernel in (*made, "6.1.0-5"):
        (boot / f"vmlinuz-{kernel}").touch()
        if kernel in made:
            (boot / f"initrd.img-{kernel}").touch()
            os.utime(boot / f"initrd.img-{kernel}", ns=(made[kernel], made[kernel]))
    asked = {"boot": str(boot), "in_initramfs": (str(file),)}
    assert survey(tmp_path, **asked).kernels.behind == ("6.1.0-1", "6.1.0-2")
    file.unlink()
    assert survey(tmp_path, **asked).kernels.behind == ()
    assert survey(tmp_path, boot=str(boot)).kernels.behind == ()


def publish(snapshot: Path, files: dict[str, str], *lines: str) -> None:
    snapshot.mkdir(parents=True)
    for name, content in files.items():
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_text(content)
    (snapshot / ".fortyninety-manifest").write_text("".join(f"{line}\n" for line in lines))


def test_a_snapshot_that_the_service_cannot_read_is_said(tmp_path: Path) -> None:
    """As one that was fetched under umask 027 is."""
    models = tmp_path / "models"
    publish(models / "m" / "c", {"a": "abc"}, f"{'a' * 64}  3  a")
    where = {"snapshot": str(models / "m" / "c"), "models_directory": str(models)}
    for folder in (models, models / "m", models / "m" / "c"):
        folder.chmod(0o755)
    assert not survey(tmp_path, **where).snapshot.closed
    for closed, mode in (
        (models / "m" / "c" / "a", 0o640),
        (models / "m" / "c", 0o750),
        (models / "m", 0o750),
        (models, 0o700),
    ):
        before = closed.stat().st_mode
        closed.chmod(mode)
        assert survey(tmp_path, **where).snapshot.closed, closed
        closed.chmod(before)
    assert not survey(tmp_path, models_directory=str(tmp_path / "none")).snapshot.closed


def test_a_snapshot_with_every_file_at_its_size_is_whole(tmp_path: Path) -> None:
    files = {"a b.txt": "abc", "sub/c": "xy"}
    publish(tmp_path / "snapshot", files, f"{'a' * 64}  3  a b.txt", f"{'b' * 64}  2  sub/c")
    found = survey(tmp_path).snapshot
    assert found.condition == "whole"
    manifest = hashlib.sha256((tmp_path / "snapshot/.fortyninety-manifest").read_bytes())
    assert found.published("snapshot", manifest.hexdigest()) == "whole"
    assert found.published("snapshot", "a" * 64) == "other"
    assert found.published("second_copy", "a" * 64) is None


@pytest.mark.parametrize("content", ["ab", "abcd"])
def test_a_snapshot_with_a_file_of_another_size_is_damaged(tmp_path: Path, content: str) -> None:
    publish(tmp_path / "snapshot", {"a": content}, f"{'a' * 64}  3  a")
    assert survey(tmp_path).snapshot.condition == "damaged"


@pytest.mark.parametrize("files", [{"b": "abc"}, {"a": "abc", "stray": ""}])
def test_a_snapshot_with_a_file_too_few_or_too_many_is_damaged(
    tmp_path: Path, files: dict[str, str]
) -> None:
    publish(tmp_path / "snapshot", files, f"{'a' * 64}  3  a")
    assert survey(tmp_path).snapshot.condition == "damaged"


def test_a_file_written_to_after_the_publication_is_seen_without_hashing(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    publish(snapshot, {"a": "abc"}, f"{'a' * 64}  3  a")
    later = (snapshot / ".fortyninety-manifest").stat().st_mtime_ns + 10**6
    (snapshot / "a").write_text("abd")
    os.utime(snapshot / "a", ns=(later, later))
    assert survey(tmp_path).snapshot.condition == "touched"


def test_commits_come_oldest_first_and_fetches_that_were_given_up_by_name(tmp_path: Path) -> None:
    model = tmp_path / "model"
    new, middle, old, given_up = (digit * 40 for digit in "abcd")
    for age, commit in enumerate([new, middle, old]):
        publish(model / commit, {})
        os.utime(model / commit / ".fortyninety-manifest", (1000 - age, 1000 - age))
    (model / f".partial-{given_up}").mkdir()
    (model / f".partial-{new}").mkdir()
    (model / f".incoming-{new}").mkdir()
    (model / f".incoming-{new}" / "a").write_bytes(bytes(100_000))
    reading = survey(tmp_path, snapshot=str(model / new), second_copy=str(model / old))
    assert reading.snapshot.commits == [old, middle, new]
    assert reading.snapshot.leftovers == [f".partial-{given_up}"]
    assert 100_000 <= reading.snapshot.begun < 200_000
    assert (reading.snapshot.condition, reading.snapshot.second_copy) == ("whole", "whole")


def test_a_folder_without_a_manifest_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    assert survey(tmp_path).snapshot.condition is None


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("", id="and can be ended"),
        # What waits in the kernel nobody ends: as little as a `timeout` does that was stopped.
        pytest.param("kill -STOP $PPID", id="and cannot be ended"),
    ],
)
def test_cards_that_never_answer_are_waited_for_so_long_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    program, waiting = tmp_path / "nvidia-smi", tmp_path / "waiting"
    program.write_text(f"#!/bin/sh\necho $$ $PPID > {waiting}\n{first}\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    try:
        reading = survey(tmp_path, patience="1")
    finally:
        # It may have been ended before it began.
        for process in waiting.read_text().split() if waiting.exists() else ():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
    assert reading.cards.error == "no answer in 1 s"
    assert reading.cards.gpus == []
    assert reading.account.entry and reading.account.entry.startswith("root:")


def test_what_nvidia_smi_complains_of_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'No devices were found' >&2\nexit 6\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert survey(tmp_path).cards.error == "No devices were found"


def test_cards_are_read_as_nvidia_smi_prints_them() -> None:
    reading = Survey().process(
        records(
            "gpu\t0, NVIDIA GeForce RTX 4090, GPU-1, 24564, 550.163.01, 400.00, 150.00, 600.00, "
            "Enabled",
            "gpu\t1, NVIDIA T400, GPU-2, 2048, 550.163.01, [N/A], [N/A], [N/A], Disabled",
        )
    )
    first, second = reading.cards.gpus
    assert (first.memory, first.power_limit, first.persistence) == (24564, 400.0, True)
    assert (second.power_limit, second.power_limit_maximum, second.persistence) == (
        None,
        None,
        False,
    )
    assert reading.loaded_driver == "550.163.01"
    assert reading.account.entry is None


def test_cards_come_with_bus_default_memory_check_and_what_holds_them_down() -> None:
    reading = Survey().process(
        records(
            "gpu\t0, NVIDIA GeForce RTX 4090, GPU-1, 24564, 550.163.01, 400.00, 150.00, 600.00, "
            "Enabled, 00000000:01:00.0, 450.00, [N/A], 0x0000000000000084",
            "gpu\t1, NVIDIA H200, GPU-2, 143771, 580.159.04, 700.00, 200.00, 700.00, "
            "Enabled, 00000000:00:06.0, 700.00, Enabled, 0x0000000000000001",
        )
    )
    first, second = reading.cards.gpus
    assert (first.bus, first.power_limit_default, first.ecc) == ("0000:01:00.0", 450.0, None)
    assert first.throttled_by == (
        "its power cap",
        "the hardware, for power (a cable, or the power supply)",
    )
    assert (second.bus, second.ecc, second.throttled_by) == ("0000:00:06.0", True, ())


def test_a_host_without_a_driver_says_so_by_saying_nothing(tmp_path: Path) -> None:
    reading = survey(tmp_path)
    assert (reading.driver.module, reading.driver.libraries, reading.kernels.dkms) == (None, {}, [])
    assert (reading.kernels.secure_boot, reading.cards.gpus) == (None, [])


def test_units_are_read_block_by_block() -> None:
    reading = Survey().process(
        records(
            "unit\tId=a.service",
            "unit\tActiveState=active",
            "unit\t",
            "unit\tId=b.service",
            "unit\tActiveState=failed",
        )
    )
    assert reading.unit("a.service", "ActiveState") == "active"
    assert reading.unit("b.service", "ActiveState") == "failed"
    assert reading.unit("c.service", "ActiveState") == ""


def test_output_of_something_else_is_unreadable_and_not_an_empty_host() -> None:
    reading = Survey().process(["bash: command not found"])
    assert not reading.readable
    assert reading.unreadable == "'bash: command not found' in the place of its first record"


# What a stranger writes wherever text can be put: records, a command, an escape sequence, and bytes
# that are no text.
HOSTILE = (
    "x\nleftover\t.partial-" + "e" * 40 + "\nenvironment\t/etc\tcut\r\x1b[2J$(id)`id`;'\"\udcff"
)

STRANGE_TOOLS = {
    "systemctl": """
case $* in
  *InvocationID*) echo 0123456789abcdef0123456789abcdef ;;
  *MainPID\\ --value*) cat "$HERE/main-pid" ;;
  *ControlGroup*) printf '/%s\\n' "$TEXT" ;;
  *) printf 'Id=vllm.service\\nActiveState=%s\\n' "$TEXT" ;;
esac""",
    **dict.fromkeys(
        ("ss", "getent", "ip", "lsblk", "findmnt", "nft", "gpg"), 'printf "%s\\n" "$TEXT"'
    ),
    "nvidia-smi": 'printf "%s\\n" "$TEXT"; exit 6',
    "apt-get": 'printf "a\\tb\\t%s\\n" "$TEXT"',
    "dpkg-query": 'printf "name\\t1.0\\t%s\\n" "$TEXT"',
}


def test_a_unit_that_was_changed_since_it_served_is_not_remembered(tmp_path: Path) -> None:
    text = f"Environment=FORTYNINETY_CONFIGURATION=\nExecStart={tmp_path}/engines/x/bin/vllm\n"
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    unit = tmp_path / "served" / f"{name}.service"
    unit.parent.mkdir()

    def served() -> tuple[list[str], list[str]]:
        service = survey(tmp_path, install_directory=str(tmp_path)).service
        return [each.configuration for each in service.served], service.altered

    unit.write_text(text.replace("CONFIGURATION=", f"CONFIGURATION={name}"))
    assert served() == ([name], [])
    unit.write_text(unit.read_text() + "User=root\n")
    assert served() == ([], [name])


def test_nothing_that_a_stranger_names_or_prints_makes_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = os.fsencode(HOSTILE).replace(b"/", b"|")
    model, install = tmp_path / "model", tmp_path / "install"
    (model / ("a" * 40)).mkdir(parents=True)
    for folder in (model, install / "engines", install / "served"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (
            text,
            b".partial-" + text,
            b".incoming-" + b"a" * 39,
            b"-rf",
            b"0.32.0-" + text,
        ):
            Path(os.fsdecode(bytes(folder) + b"/" + name)).mkdir()
            Path(os.fsdecode(bytes(folder) + b"/" + name + b"/.fortyninety-manifest")).touch()
        Path(os.fsdecode(bytes(folder) + b"/" + text + b".service")).touch()
    unit = b"ExecStart=" + bytes(install) + b"/engines/" + text + b"/bin/vllm\n"
    kept = hashlib.sha256(unit).hexdigest()[:16]
    (install / "served" / f"{kept}.service").write_bytes(unit)
    link = tmp_path / "link"
    link.symlink_to(HOSTILE)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in STRANGE_TOOLS.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("TEXT", HOSTILE)
    monkeypatch.setenv("HERE", str(tools))
    engine = subprocess.Popen(
        ["sleep", "60"], env={**os.environ, "FORTYNINETY_CONFIGURATION": HOSTILE}
    )
    (tools / "main-pid").write_text(str(engine.pid))
    asked = Survey()
    command = asked.command(
        SurveyRequest(
            files=(str(link),),
            packages=("dpkg",),
            units=("vllm.service",),
            port=1,
            service="vllm.service",
            user="vllm",
            snapshot=str(model / ("b" * 40)),
            models_directory=str(tmp_path),
            install_directory=str(install),
        )
    )
    try:
        ran = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    finally:
        engine.kill()
        engine.wait()
    lines = ran.stdout.decode("ascii").splitlines()
    assert (lines[0], lines[-1]) == ("begin", "end")
    kinds = {line.split("\t")[0] for line in lines[1:-1]}
    assert kinds <= set(KINDS)
    assert not kinds & {"leftover", "environment", "commit", "running"}, lines
    served = [line for line in lines if line.startswith("served")]
    assert [line.split("\t")[1::2] for line in served] == [[kept, ""]]
    assert all(character.isprintable() or character == "\t" for line in lines for character in line)
    # An account with lines, or a card's complaint, is no reading of this host.
    assert asked.process(lines).unreadable
