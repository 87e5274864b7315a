"""The program that gives a gateway its keys: the file first, and never older ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.on_host.gateway_control import checked, give_keys, keep_note, on_disk

ENTRY = f"{'a' * 64} ada:ada:60:4:9999999999999\n"


def test_older_keys_than_the_hosts_are_refused(tmp_path: Path) -> None:
    path, none = tmp_path / "keys.map", tmp_path / "none"
    assert give_keys(path, f"# changed 20\n{ENTRY}", none, None) == "written"
    with pytest.raises(ValueError, match="changed later"):
        give_keys(path, "# changed 19\n", none, None)
    assert path.read_text() == f"# changed 20\n{ENTRY}"
    assert give_keys(path, "# changed 20\n", none, None) == "written"


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "keys.map"
    path.touch(0o640)
    path.chmod(0o640)
    give_keys(path, "# changed 1\n", tmp_path / "none", None)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["keys.map"]


@pytest.mark.parametrize("text", ["# changed x\n", f"{ENTRY}# changed 1\n", "x\n", ENTRY[:-1]])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="map"):
        checked(text)


def test_what_is_loaded_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOCATION_ID", "f" * 32)
    for name in ("haproxy.cfg", "server.pem", "keys.map"):
        (tmp_path / name).write_text(name)
    note = tmp_path / "run/note"
    keep_note(note, on_disk(tmp_path))
    invocation, *digests = note.read_text().split()
    assert invocation == "f" * 32 and len(set(digests)) == 3
