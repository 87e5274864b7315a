"""Whose signature apt takes: the script that a host runs, run here, with keys made for the test."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fortyninety.operations.apt.repository_key import fetching


class Keys:
    """Two keys, by their fingerprints, and whatever gpg says of them."""

    def __init__(self, home: Path) -> None:
        self._home = home
        for name in ("expected", "other"):
            self.gpg("--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", "never")
        self.expected, self.other = (self._fingerprint(name) for name in ("expected", "other"))

    def gpg(self, *arguments: str) -> bytes:
        command = ["gpg", "--homedir", str(self._home), "--batch", "--pinentry-mode", "loopback"]
        return subprocess.run([*command, *arguments], check=True, capture_output=True).stdout

    def _fingerprint(self, name: str) -> str:
        shown = self.gpg("--with-colons", "--list-keys", name).decode()
        return next(line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr"))


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    # Short: the agent's socket in it may have no more than 107 characters.
    home = Path(tempfile.mkdtemp(prefix="f90key"))
    yield Keys(home)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=True)
    shutil.rmtree(home, ignore_errors=True)


def fetch(content: bytes, fingerprint: str, folder: Path) -> tuple[int, str, Path]:
    """How the script ends for a repository whose key file has `content`, and its keyring."""
    source, keyring = folder / "key.pub", folder / "keyrings" / "nvidia.gpg"
    source.write_bytes(content)
    ran = subprocess.run(
        ["sh", "-c", fetching(str(keyring), f"file:{source}", fingerprint)],
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stderr, keyring


@pytest.mark.parametrize("form", ["--armor", "--no-armor"])
def test_the_expected_key_is_put_in_place_for_everybody_to_read(
    keys: Keys, form: str, tmp_path: Path
) -> None:
    code, said, keyring = fetch(keys.gpg(form, "--export", keys.expected), keys.expected, tmp_path)
    assert code == 0, said
    assert keys.expected in keys.gpg("--show-keys", str(keyring)).decode()
    assert keyring.stat().st_mode & 0o777 == 0o644


def test_another_key_is_named_and_not_put_in_place(keys: Keys, tmp_path: Path) -> None:
    code, said, keyring = fetch(keys.gpg("--export", keys.other), keys.expected, tmp_path)
    assert code != 0
    assert f"is {keys.other}; expected {keys.expected} alone" in said
    assert not keyring.exists()


@pytest.mark.parametrize("joined", ["one export", "two exports"])
def test_a_second_key_beside_the_expected_one_is_not_trusted_either(
    keys: Keys, joined: str, tmp_path: Path
) -> None:
    """apt would take the signature of either."""
    if joined == "one export":
        content = keys.gpg("--armor", "--export")
    else:
        armored = [keys.gpg("--armor", "--export", each) for each in (keys.expected, keys.other)]
        content = b"".join(armored)
    code, said, keyring = fetch(content, keys.expected, tmp_path)
    if keyring.exists():
        # gpg read the first of the two alone, and so does whoever reads the keyring.
        assert keys.other not in keys.gpg("--show-keys", str(keyring)).decode()
    else:
        assert code != 0
        assert keys.other in said


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_what_is_no_key_is_not_put_in_place(keys: Keys, content: bytes, tmp_path: Path) -> None:
    code, said, keyring = fetch(content, keys.expected, tmp_path)
    assert code != 0
    assert "none that gpg can read; expected" in said
    assert not keyring.exists()


def test_a_repository_that_does_not_answer_says_so(keys: Keys, tmp_path: Path) -> None:
    keyring = tmp_path / "nvidia.gpg"
    script = fetching(str(keyring), f"file:{tmp_path}/absent.pub", keys.expected)
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "could not be fetched" in ran.stderr
    assert not keyring.exists()
