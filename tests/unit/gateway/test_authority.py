"""The fleet's own authority: made once, its key for its owner alone, its certificates in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from fortyninety.gateway.authority import (
    RENEWED_BEFORE,
    SERVER_DAYS,
    AuthorityUnusable,
    authority_in,
    issue,
    why_renew,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NAMES = ["gpu-box-1", "10.0.0.5", "fd00::5"]


def test_an_authority_is_made_once_and_its_key_is_its_owners(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    made = authority_in(folder, "prod", NOW)
    assert authority_in(folder, "prod", NOW + timedelta(days=1)).pem == made.pem
    assert (folder / "authority.key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "PRIVATE" not in made.pem


@pytest.mark.parametrize("name", ["authority.key", "authority.pem"])
def test_half_an_authority_is_refused_and_kept(tmp_path: Path, name: str) -> None:
    authority_in(tmp_path, "prod", NOW)
    (tmp_path / name).unlink()
    with pytest.raises(AuthorityUnusable):
        authority_in(tmp_path, "prod", NOW)
    assert not (tmp_path / name).exists()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    authority_in(tmp_path, "prod", NOW)
    (tmp_path / "authority.key").chmod(0o640)
    with pytest.raises(AuthorityUnusable, match="others may read"):
        authority_in(tmp_path, "prod", NOW)


def test_files_of_nonsense_and_of_two_authorities_are_refused(tmp_path: Path) -> None:
    authority_in(tmp_path / "one", "prod", NOW)
    authority_in(tmp_path / "two", "prod", NOW)
    (tmp_path / "one/authority.pem").write_text((tmp_path / "two/authority.pem").read_text())
    with pytest.raises(AuthorityUnusable, match="is not the key of"):
        authority_in(tmp_path / "one", "prod", NOW)
    (tmp_path / "one/authority.pem").write_text("nonsense")
    with pytest.raises(AuthorityUnusable, match="no certificate and key"):
        authority_in(tmp_path / "one", "prod", NOW)


def test_a_server_is_renewed_in_time_and_for_its_names(tmp_path: Path) -> None:
    authority = authority_in(tmp_path / "one", "prod", NOW)
    other = authority_in(tmp_path / "two", "prod", NOW)
    pem = issue(authority, NAMES, NOW)
    assert why_renew(authority, pem, NAMES, NOW) is None
    assert why_renew(authority, pem, list(reversed(NAMES)), NOW) is None
    late = NOW + timedelta(days=SERVER_DAYS) - RENEWED_BEFORE
    assert why_renew(authority, pem, NAMES, late) is None
    assert why_renew(authority, pem, NAMES, late + timedelta(seconds=1)) == "it ends on 2027-02-24"
    assert why_renew(authority, pem, ["gpu-box-1"], NOW) == "it is for other names"
    assert why_renew(other, pem, NAMES, NOW) == "another authority signed it"
    assert why_renew(authority, pem, NAMES, NOW - timedelta(days=2)) == "it is not valid yet"
    assert why_renew(authority, "nonsense", NAMES, NOW) == "it is no certificate"


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    authority = authority_in(tmp_path, "prod", NOW)
    end = authority.certificate.not_valid_after_utc
    pem = issue(authority, NAMES, end - timedelta(days=1))
    assert x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc == end
