"""The lab finds Debian's archive in whatever form a machine's apt sources have."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.sources.apt_sources import choose, machine_archives, parse_deb822, parse_one_line

DEB822 = """\
Types: deb
# a comment between fields
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://archive.example/debian-security
Suites: bookworm-security
Components: main
"""


def test_stanzas_give_the_archive_and_the_security_archive() -> None:
    archives = choose(parse_deb822(DEB822), "bookworm")
    assert archives.debian.uri == "http://archive.example/debian"
    assert archives.security is not None
    assert archives.security.uri == "http://archive.example/debian-security"


def test_one_line_sources_give_the_same() -> None:
    archives = choose(
        parse_one_line(
            "# deb http://commented.example/debian bookworm main\n"
            "deb [arch=amd64 signed-by=/etc/apt/keyrings/own.gpg] "
            "http://archive.example/debian bookworm main\n"
            "deb-src http://sources.example/debian bookworm main\n"
            "deb http://security.example/debian-security bookworm-security main\n"
        ),
        "bookworm",
    )
    assert archives.debian.uri == "http://archive.example/debian"
    assert archives.debian.signed_by == "/etc/apt/keyrings/own.gpg"
    assert archives.security is not None
    assert archives.security.uri == "http://security.example/debian-security"


def test_entries_for_another_release_take_all_components_a_driver_needs() -> None:
    archives = choose(parse_deb822(DEB822), "bookworm")
    signed = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
    components = "main contrib non-free non-free-firmware"
    assert archives.lines("trixie") == [
        f"deb [{signed}] http://archive.example/debian trixie {components}",
        f"deb [{signed}] http://archive.example/debian trixie-updates {components}",
        f"deb [{signed}] http://archive.example/debian-security trixie-security {components}",
    ]


def test_what_is_written_as_stanzas_reads_back_the_same() -> None:
    archives = choose(parse_deb822(DEB822), "bookworm")
    again = choose(parse_deb822(archives.deb822("trixie")), "trixie")
    assert again.debian.uri == archives.debian.uri
    assert again.debian.suites == ("trixie", "trixie-updates")
    assert again.security is not None


def test_disabled_and_source_only_stanzas_are_not_used() -> None:
    text = (
        DEB822.replace("Types: deb\n", "Types: deb-src\n")
        + "\n"
        + DEB822.replace("Types: deb\n", "Types: deb\nEnabled: no\n")
    )
    assert parse_deb822(text) == []


def test_a_source_of_something_else_is_not_taken_for_debian() -> None:
    with pytest.raises(LabError, match="has the suite bookworm"):
        choose(parse_one_line("deb http://other.example/apt cloud-sdk-bookworm main"), "bookworm")


def test_a_mirror_list_file_gives_its_first_address(tmp_path: Path) -> None:
    listing = tmp_path / "mirrors.list"
    listing.write_text(
        "# fastest first\nhttp://near.example/debian priority:1\nhttp://far.example\n"
    )
    (tmp_path / "os-release").write_text('VERSION_CODENAME="trixie"\n')
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt/sources.list").write_text(f"deb mirror+file:{listing} trixie main\n")
    assert machine_archives(tmp_path).debian.uri == "http://near.example/debian"
