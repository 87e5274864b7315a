"""When a gateway's certificate is replaced, and which of an operator's is refused."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fortyninety.gateway.authority import KEY, authority_folder, authority_in, issue
from fortyninety.gateway.certificates import CertificateUnusable, Found, Given, Issued, given

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NAMES = ("gpu-box-1", "10.0.0.5")


def found(text: str) -> Found:
    """What a survey says of a file."""
    head, _, rest = text.partition("\n")
    whole = head.endswith(hashlib.sha256(rest.encode()).hexdigest())
    certificates = rest.partition("-----BEGIN PRIVATE KEY")[0]
    return Found(certificates, whole, hashlib.sha256(text.encode()).hexdigest())


def operators(folder: Path, names: tuple[str, ...], at: datetime = NOW) -> Path:
    path = folder / "own.pem"
    path.write_text(issue(authority_in(folder / "ca", "x", at), names, at))
    return path


def test_an_issued_one_serves_until_its_half_life_or_another_name(tmp_path: Path) -> None:
    source = Issued(tmp_path / "prod.authority", "prod", NAMES)
    assert source.why_replaced(Found(), NOW) == "it is missing"
    there = found(source.made(NOW))
    assert source.why_replaced(there, NOW) is None
    late = NOW + timedelta(days=46)
    assert "it ends on" in (source.why_replaced(there, late) or "")
    other = Issued(source.folder, "prod", (*NAMES, "llm.example"))
    assert other.why_replaced(there, NOW) == "it is for other names"


def test_a_file_that_was_changed_is_replaced(tmp_path: Path) -> None:
    source = Issued(tmp_path / "prod.authority", "prod", NAMES)
    made = source.made(NOW)
    changed = found(made.replace("-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\nA"))
    assert source.why_replaced(changed, NOW) == "it is not as it was written"


def test_looking_makes_no_authority(tmp_path: Path) -> None:
    made = found(Issued(tmp_path / "one", "prod", NAMES).made(NOW))
    source = Issued(tmp_path / "two", "prod", NAMES)
    assert source.why_replaced(made, NOW) == "the fleet has no authority yet"
    assert not source.folder.exists()


def test_the_authority_keeps_itself_out_of_a_repository(tmp_path: Path) -> None:
    folder = authority_folder(tmp_path / "prod.py")
    authority_in(folder, "prod", NOW)
    assert folder.name == "prod.authority" and (folder / ".gitignore").read_text() == "*\n"


def test_an_operators_own_is_taken_as_it_is(tmp_path: Path) -> None:
    path = operators(tmp_path, ("*.example.org", "10.0.0.5"))
    source = given(path, ["LLM.example.org", "10.0.0.5"], NOW)
    assert source.why_replaced(found(source.made(NOW)), NOW) is None
    assert source.why_replaced(found(Given("other").made(NOW)), NOW) is not None
    assert source.why_replaced(Found(), NOW) == "it is missing"
    assert source.pem == path.read_text()


def test_an_operators_own_that_would_not_serve_is_refused(tmp_path: Path) -> None:
    path = operators(tmp_path, NAMES)
    pem = path.read_text()
    refused = {
        "not for other": (["other"], pem, NOW),
        "valid from": ([], pem, NOW + timedelta(days=91)),
        "no certificate with its key": ([], pem.partition("-----BEGIN PRIVATE")[0], NOW),
        "with the key of another": (
            [],
            pem.partition("-----BEGIN PRIVATE")[0] + (tmp_path / "ca" / KEY).read_text(),
            NOW,
        ),
        "not readable": ([], None, NOW),
    }
    for said, (names, text, moment) in refused.items():
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(CertificateUnusable, match=said):
            given(path, names, moment)
