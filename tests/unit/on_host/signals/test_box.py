"""How a box is: drained, or to be rebooted; and what its files may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.on_host.signals.box import another_driver, moment, newer_kernel, noted


@pytest.mark.parametrize("text", ["", "{", "[1]", "nul", '"x"', "[" * 60_000])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "note").write_text(text)
    assert noted(str(tmp_path / "note")) == {}
    assert noted(str(tmp_path / "none")) is None


@pytest.mark.parametrize("value", [True, "7", None, -1, 1e12, float("nan"), [7]])
def test_a_moment_is_a_number(value: object) -> None:
    assert moment(value) is None
    assert moment(1795742190) == 1795742190


def test_a_newer_kernel_waits_for_a_reboot(tmp_path: Path) -> None:
    running = "6.12.9+deb13-amd64"
    assert newer_kernel(running, str(tmp_path)) is None
    (tmp_path / f"vmlinuz-{running}").touch()
    (tmp_path / "vmlinuz-6.1.0-40-amd64").touch()
    assert newer_kernel(running, str(tmp_path)) is False
    (tmp_path / "vmlinuz-6.12.57+deb13-amd64").touch()
    assert newer_kernel(running, str(tmp_path)) is True
    assert newer_kernel(running, str(tmp_path / "none")) is None


def test_the_driver_on_disk_waits_for_a_reboot(tmp_path: Path) -> None:
    module, library = tmp_path / "version", tmp_path / "libnvidia-ml.so.1"
    assert another_driver(str(module), str(library)) is None
    module.write_text("550.163.01\n")
    assert another_driver(str(module), str(library)) is None
    for version, differs in (("550.163.01", False), ("580.159.03", True)):
        library.unlink(missing_ok=True)
        library.symlink_to(f"libnvidia-ml.so.{version}")
        assert another_driver(str(module), str(library)) is differs
