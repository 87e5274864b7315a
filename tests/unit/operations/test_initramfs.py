"""When an initramfs is made for what it is to hold, and what a driver's packages leave to that."""

from __future__ import annotations

import inspect
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.context import ctx_host

from fortyninety.operations import initramfs
from fortyninety.operations.apt import packages as apt
from fortyninety.packages.package import Package
from fortyninety.plan.paths import NOUVEAU_CONFIGURATION
from fortyninety.survey.reading import FileState, HostReading
from tests.unit.readings import bare_host

OLDER, NEWER = "6.12.57+deb13-amd64", "6.12.63+deb13-amd64"
WRITTEN = {NOUVEAU_CONFIGURATION: FileState("regular file", "644", "root", "root", "0" * 64)}


def host(**changes: object) -> HostReading:
    """A host with two kernels, whose file is there."""
    kernels = {"kernels__modules": {OLDER: "550.163.01", NEWER: "550.163.01"}}
    return bare_host(**{**kernels, "files": WRITTEN, **changes})


def making(reading: HostReading, path: str = NOUVEAU_CONFIGURATION) -> list[str]:
    compare = inspect.getclosurevars(initramfs.holding._inner).nonlocals["function"]
    with ctx_host.use(SimpleNamespace(noop=lambda _: None, current_op_hash=None)):
        commands = list(compare(reading, path))
    assert all(isinstance(each, StringCommand) for each in commands)
    return [str(each) for each in commands]


def test_it_is_made_where_that_of_the_next_kernel_is_behind() -> None:
    """As after a cut between the file and the initramfs, or after packages that left it."""
    (command,) = making(host(kernels__behind=(OLDER, NEWER)))
    assert "update-initramfs -u && " in command
    assert f"kernel={NEWER}\n" in command


def test_nothing_is_made_where_it_is_later_than_the_file() -> None:
    """Packages' own scripts made it, or an earlier run."""
    assert making(host()) == []
    assert making(host(kernels__behind=(OLDER,))) == [], "the other kernel does not boot next"
    assert making(host(kernels__modules={}, kernels__behind=())) == []


def test_it_follows_the_boot_loaders_choice() -> None:
    (command,) = making(host(kernels__behind=(OLDER,), kernels__chosen=OLDER))
    assert f"kernel={OLDER}\n" in command


def test_a_look_at_a_host_without_the_file_says_that_it_will_be_made() -> None:
    assert len(making(host(files={}))) == 1


# What stands for initramfs-tools: says what it was asked, and makes that of the newest kernel, or
# of the one that is named.
TOOL = """#!/bin/sh
echo "$*" >>"$0.asked"
kernel=${{3:-{newest}}}
echo made >"{boot}/initrd.img-$kernel"
"""


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of initramfs, older than the file beside it, and what makes them, in the path."""
    folder = tmp_path / "boot"
    folder.mkdir()
    for kernel in (OLDER, NEWER):
        (folder / f"initrd.img-{kernel}").write_text("before")
        os.utime(folder / f"initrd.img-{kernel}", (1_000, 1_000))
    (tmp_path / "file").touch()
    tool = tmp_path / "bin" / "update-initramfs"
    tool.parent.mkdir()
    tool.write_text(TOOL.format(newest=NEWER, boot=folder))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    return folder


def run_making(boot: Path, next_kernel: str) -> tuple[list[str], list[str]]:
    """What the tool was asked when the command ran, and whose initramfs is behind after it."""
    file = boot.parent / "file"
    reading = host(
        files={str(file): WRITTEN[NOUVEAU_CONFIGURATION]},
        kernels__behind=(next_kernel,),
        kernels__chosen=next_kernel,
    )
    (command,) = making(reading, str(file))
    subprocess.run(["sh", "-c", command.replace("=/boot/", f"={boot}/")], check=True)
    behind = [
        kernel
        for kernel in (OLDER, NEWER)
        if file.stat().st_mtime_ns > (boot / f"initrd.img-{kernel}").stat().st_mtime_ns
    ]
    return (boot.parent / "bin/update-initramfs.asked").read_text().splitlines(), behind


def test_the_newest_kernels_is_made_once(boot: Path) -> None:
    assert run_making(boot, NEWER) == (["-u"], [OLDER])


def test_another_kernel_that_boots_next_gets_its_own(boot: Path) -> None:
    assert run_making(boot, OLDER) == (["-u", f"-u -k {OLDER}"], [])


def test_a_file_of_a_time_to_come_is_not_behind_for_ever(boot: Path) -> None:
    """The clock was set back since it was written."""
    os.utime(boot.parent / "file", (4_000_000_000, 4_000_000_000))
    _, behind = run_making(boot, NEWER)
    assert NEWER not in behind


# --- What packages leave to it --------------------------------------------------------------------


def installation(wanted: Sequence[str], **arguments: object) -> str:
    """The command that installs packages."""
    compare = inspect.getclosurevars(apt.packages._inner).nonlocals["function"]
    with ctx_host.use(SimpleNamespace(noop=lambda _: None, current_op_hash=None)):
        *_, command = compare(bare_host(), [Package(name) for name in wanted], **arguments)
    assert isinstance(command, FunctionCommand)
    return str(command.args[0])


def test_several_packages_leave_it_to_one_operation_and_note_that_first() -> None:
    command = installation(["dkms", "nvidia-smi"], initramfs_behind=NOUVEAU_CONFIGURATION)
    touched, installed = command.split("SINCE_TIMESTAMP=0 ")
    assert f"touch -c {NOUVEAU_CONFIGURATION} && sync {NOUVEAU_CONFIGURATION} && " in touched
    assert "apt-get" in installed and "install" in installed


def test_one_package_and_those_of_other_stages_make_their_own() -> None:
    for command in (
        installation(["nvidia-smi"], initramfs_behind=NOUVEAU_CONFIGURATION),
        installation(["gcc", "make"]),
    ):
        assert "SINCE_TIMESTAMP" not in command and "touch" not in command
