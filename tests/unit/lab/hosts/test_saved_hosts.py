"""A saved host whose layers are not all there is refused by name, and does no harm to others."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.hosts import saved_hosts
from lab.hosts.image import images_directory

IMAGE = "trixie-0123456789ab"


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of saved hosts: `upper` stands on `lower`, and both on an image."""
    monkeypatch.setenv("FORTYNINETY_LAB_CACHE", str(tmp_path))
    (images_directory() / IMAGE).mkdir()
    for name, below in (("lower", ()), ("upper", ("lower",))):
        disk = tmp_path / "disk"
        disk.mkdir()
        saved_hosts.save(name, disk, IMAGE, below, "awq", move=True)
    return tmp_path / "saved"


def test_a_saved_host_is_read_with_what_it_stands_on(saved: Path) -> None:
    read = saved_hosts.read("upper")
    assert (read.image, read.saved, read.model) == (IMAGE, ("lower",), "awq")


def test_one_whose_lower_layer_is_gone_is_refused_and_can_be_removed(saved: Path) -> None:
    (saved / "lower").rename(saved / "other")
    with pytest.raises(LabError) as refused:
        saved_hosts.read("upper")
    assert str(refused.value) == (
        f"saved host 'upper' stands on {saved}/lower/layer, which is not there: remove "
        f"{saved}/upper and save the host again"
    )
    assert [each.name for each in saved_hosts.everything()] == ["other", "upper"]
    saved_hosts.remove("upper")
    assert not (saved / "upper").exists()


def test_one_whose_image_is_gone_is_refused(saved: Path) -> None:
    (images_directory() / IMAGE).rmdir()
    with pytest.raises(LabError, match=f"stands on .*/images/{IMAGE}, which is not there"):
        saved_hosts.read("lower")
    assert saved_hosts.images_in_use() == {IMAGE}
