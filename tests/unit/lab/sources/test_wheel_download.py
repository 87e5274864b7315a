"""A locked wheel is fetched from the first source that has its bytes, through a real pip."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import socket
import sys
import zipfile
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from lab.errors import LabError
from lab.sources import wheel_download
from lab.sources.python_index import TORCH_INDEX, torch_sources
from lab.sources.wheel_download import Pin, ensure_wheel, failure_reason, read_pin
from tests.unit.serving_folder import ServeFolder

WHEEL = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
LOCK = ROOT / "engines/0.32.0-cpu/requirements.txt"


@pytest.fixture
def index(tmp_path: Path, serve_folder: ServeFolder) -> str:
    """An index that carries the wheel, without a hash on its page, so that bytes must be read."""
    return serve_folder(_index(tmp_path / "index", _wheel_bytes("right")))


@pytest.fixture
def empty(tmp_path: Path, serve_folder: ServeFolder) -> str:
    """An index that knows the package and has no file of it."""
    return serve_folder(_index(tmp_path / "empty", None))


@pytest.fixture(autouse=True)
def _a_pip_without_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_the_lock_says_which_torch_and_which_bytes() -> None:
    pin = read_pin(LOCK, "torch")
    assert pin.requirement == "torch==2.13.0+cpu"
    assert pin.hashes
    assert f"--hash=sha256:{next(iter(pin.hashes))}" in LOCK.read_text()


def test_a_lock_without_the_package_is_said(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("torchvision===1 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(LabError, match="pins no torch with a SHA-256"):
        read_pin(lock, "torch")


def test_what_pip_finds_is_taken_and_the_second_source_not_asked(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv(TORCH_INDEX, _closed())
    assert _ensured(tmp_path) == [WHEEL]


def test_a_folder_of_wheels_is_found_too(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / WHEEL).write_bytes(_wheel_bytes("right"))
    monkeypatch.setenv("PIP_INDEX_URL", empty)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv(TORCH_INDEX, _closed())
    assert _ensured(tmp_path) == [WHEEL]


def test_with_an_empty_index_the_second_source_is_taken(
    index: str,
    empty: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", empty)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv(TORCH_INDEX, index)
    assert _ensured(tmp_path) == [WHEEL]
    assert f"fetching torch==2.13.0+cpu from {index}" in capsys.readouterr().err


def test_other_bytes_of_the_first_source_are_said_and_the_second_is_taken(
    index: str,
    serve_folder: ServeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = _wheel_bytes("other")
    monkeypatch.setenv("PIP_INDEX_URL", serve_folder(_index(tmp_path / "wrong", other)))
    monkeypatch.setenv(TORCH_INDEX, index)
    assert _ensured(tmp_path) == [WHEEL]
    assert _sha256(tmp_path / "wheels" / WHEEL) in _pin().hashes
    said = capsys.readouterr().err
    assert "its file is not the one that the lock names" in said
    assert hashlib.sha256(other).hexdigest() in said


def test_wrong_bytes_of_both_sources_never_get_into_the_folder(
    serve_folder: ServeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve_folder(_index(tmp_path / "wrong", _wheel_bytes("other")))
    monkeypatch.setenv("PIP_INDEX_URL", address)
    monkeypatch.setenv(TORCH_INDEX, address)
    with pytest.raises(LabError, match="is not the one that the lock names"):
        _ensured(tmp_path)
    assert list((tmp_path / "wheels").iterdir()) == []
    assert not (tmp_path / "wheels.unfinished").exists()


def test_with_both_out_of_reach_both_are_named_with_the_reason_and_what_to_set(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", empty)
    monkeypatch.setenv(TORCH_INDEX, _closed())
    with pytest.raises(LabError) as refused:
        _ensured(tmp_path)
    first, own, second, remedy = str(refused.value).splitlines()
    assert first.startswith("no source has the wheel of torch==2.13.0+cpu for Python 3.11")
    assert own.startswith(f"  this machine's pip ({empty}): it lists no such file")
    assert second.startswith(f"  {_closed()}: no connection: ")
    assert second.endswith("Connection refused")
    assert remedy == "do this"


def test_a_source_that_accepts_and_says_nothing_is_given_up(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_download, "_SILENCE_SECONDS", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", empty)
        monkeypatch.setenv(TORCH_INDEX, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(LabError, match="it sent nothing for 3 s"):
            _ensured(tmp_path)


_SLOW_TO_BEGIN = """
import base64, pathlib, sys, time
while time.process_time() < 1:
    pass
(folder,) = (each.partition("=")[2] for each in sys.argv if each.startswith("--dest="))
pathlib.Path(folder).mkdir()
pathlib.Path(folder, sys.argv[1]).write_bytes(base64.b64decode(sys.argv[2]))
"""


def test_a_pip_that_is_slow_to_begin_is_not_taken_for_a_silent_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine pip computes for longer than a source may be silent."""
    monkeypatch.setattr(wheel_download, "_SILENCE_SECONDS", 0.5)
    content = base64.b64encode(_wheel_bytes("right")).decode()
    slow = [sys.executable, "-I", "-c", _SLOW_TO_BEGIN, WHEEL, content]
    monkeypatch.setattr(wheel_download, "pip", lambda: slow)
    assert _ensured(tmp_path) == [WHEEL]


def test_a_wheel_that_is_there_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / WHEEL).write_bytes(_wheel_bytes("right"))
    monkeypatch.setenv("PIP_INDEX_URL", _closed())
    monkeypatch.setenv(TORCH_INDEX, _closed())
    assert _ensured(tmp_path) == [WHEEL]


def test_a_wheel_that_a_crash_cut_off_is_replaced(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / WHEEL).write_bytes(_wheel_bytes("right")[:100])
    (tmp_path / "wheels.unfinished" / "wheel").mkdir(parents=True)
    monkeypatch.setenv("PIP_INDEX_URL", index)
    assert _ensured(tmp_path) == [WHEEL]
    assert _sha256(tmp_path / "wheels" / WHEEL) in _pin().hashes


_RETRYING = "WARNING: Retrying (Retry(total=0, connect=None, read=None)) after connection broken by"
_NO_VERSION = (
    "ERROR: Could not find a version that satisfies the requirement torch (from versions: "
)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (  # pip 23
            f"{_RETRYING} 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection "
            "object at 0x7f3d7d760b10>: Failed to establish a new connection: [Errno -2] Name or "
            f"service not known')': /whl/cpu/torch/\n{_NO_VERSION}none)\n",
            "no connection: Failed to establish a new connection: [Errno -2] Name or service not "
            "known",
        ),
        (  # pip 26
            f"{_RETRYING} 'NewConnectionError(\"HTTPConnection(host='127.0.0.1', port=9): Failed "
            "to establish a new connection: [Errno 111] Connection refused\")': /simple/torch/\n",
            "no connection: Failed to establish a new connection: [Errno 111] Connection refused",
        ),
        (
            f"{_RETRYING} 'ProxyError('Cannot connect to proxy.', NewConnectionError('<pip._vendor."
            "urllib3.connection.HTTPSConnection object at 0x7f93>: Failed to establish a new "
            "connection: [Errno 111] Connection refused'))': /whl/cpu/torch/\n",
            "no connection to the proxy: Failed to establish a new connection: [Errno 111] "
            "Connection refused",
        ),
        (
            f"{_RETRYING} 'ReadTimeoutError(\"HTTPConnectionPool(host='127.0.0.1', port=8903): "
            "Read timed out. (read timeout=10.0)\")': /torch/\n",
            "no connection: Read timed out.",
        ),
        (
            f"{_RETRYING} 'ConnectTimeoutError(<pip._vendor.urllib3.connection.HTTPSConnection "
            "object at 0x7f93>, 'Connection to download.example timed out. (connect "
            "timeout=10.0)')': /torch/\n",
            "no connection: Connection to download.example timed out.",
        ),
        (
            f"{_NO_VERSION}2.12.0, 2.13.0)\nERROR: No matching distribution found for torch\n",
            "it lists no such file (versions that it lists: 2.12.0, 2.13.0)",
        ),
        (
            "ERROR: HTTP error 403 while getting http://127.0.0.1/torch.whl\n",
            "pip ended with 1 and said: HTTP error 403 while getting http://127.0.0.1/torch.whl",
        ),
        ("", "pip ended with 1 and said: nothing"),
    ],
)
def test_a_failure_of_pip_is_one_line(log: str, reason: str) -> None:
    assert failure_reason(log, 1) == reason


def _pin() -> Pin:
    """The pin that only the bytes called right satisfy."""
    digest = hashlib.sha256(_wheel_bytes("right")).hexdigest()
    return Pin("torch", "2.13.0+cpu", frozenset({digest}))


def _ensured(tmp_path: Path) -> list[str]:
    ensure_wheel(_pin(), "3.11", tmp_path / "wheels", torch_sources, "do this")
    return [wheel.name for wheel in (tmp_path / "wheels").iterdir()]


def _closed() -> str:
    """An address on which nobody listens: port 9 of loopback, which IANA gave to `discard`."""
    return "http://127.0.0.1:9/simple"


def _index(folder: Path, wheel: bytes | None) -> Path:
    (folder / "torch").mkdir(parents=True)
    link = f'<a href="{WHEEL.replace("+", "%2B")}">{WHEEL}</a>' if wheel is not None else ""
    (folder / "torch" / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")
    if wheel is not None:
        (folder / "torch" / WHEEL).write_bytes(wheel)
    return folder


def _wheel_bytes(content: str) -> bytes:
    """A valid wheel of one module; the same content gives the same bytes."""
    information = "torch-2.13.0+cpu.dist-info"
    files = {
        "torch/__init__.py": f"# {content}\n",
        f"{information}/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n",
        f"{information}/WHEEL": (
            "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_28_x86_64\n"
        ),
    }
    record = "".join(
        f"{name},sha256="
        f"{base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},"
        f"{len(text)}\n"
        for name, text in files.items()
    )
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n"
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return wheel.getvalue()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
