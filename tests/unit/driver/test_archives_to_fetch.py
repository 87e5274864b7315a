"""Whether a driver's packages are on the disk already, as this machine's own apt says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.facts.archives_to_fetch import ArchivesToFetch
from fortyninety.operations.apt.packages import transaction
from fortyninety.packages.package import Package
from tests.unit.driver.real_apt import Archive, RealApt

MODULE = "nvidia-kernel-dkms"


@pytest.mark.parametrize(
    ("wanted", "to_fetch"),
    [
        (Package(MODULE, "580.126.09-1"), True),
        (Package(MODULE, "550.163.01-2"), False),
        (Package("nvidia-of-another-archive"), True),  # apt cannot say yet
    ],
)
def test_what_is_not_here_is_to_be_fetched(tmp_path: Path, wanted: Package, to_fetch: bool) -> None:
    archive = Archive("NVIDIA", "x", {MODULE: "580.126.09-1"})
    apt = RealApt(tmp_path, [archive], {}, installed={MODULE: "550.163.01-2"})
    fact = ArchivesToFetch()
    # A driver is held while it waits.
    apt.run("sh", "-c", hold(tmp_path))
    said = apt.run("sh", "-c", fact.command(words=transaction([wanted], [])))
    assert fact.process(said.splitlines()) is to_fetch, said


def hold(folder: Path) -> str:
    """Have apt hold the module, as `apt-mark hold` notes it in dpkg's status."""
    status = folder / "root/var/lib/dpkg/status"
    return f"sed -i 's/Status: install/Status: hold/' {status}"
