"""To whom a host opens the port at which it hands a snapshot on, and what the daemon may do."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fortyninety.on_host.snapshot import __main__ as snapshot_steps
from fortyninety.on_host.snapshot import serve
from fortyninety.on_host.snapshot.failures import Failure
from fortyninety.on_host.snapshot.serve import (
    addresses_of,
    daemon_configuration,
    listening_address,
    unit_properties,
)


def request(**changes: Any) -> dict[str, Any]:
    return {"port": 8873, "members": ["192.0.2.1", "2001:db8::2"], **changes}


def configuration(**changes: Any) -> dict[str, list[str]]:
    """What rsync reads: every value that a name is given."""
    text = daemon_configuration(
        request(**changes),
        address="192.0.2.1",
        export=Path("/run/export"),
        secret=Path("/run/secret"),
        lock=Path("/run/lock"),
    )
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" = ")
        found.setdefault(name, []).append(value)
    return found


def test_the_daemon_listens_on_one_address_and_hears_the_fleet_alone() -> None:
    found = configuration()
    assert found["address"] == ["192.0.2.1"]
    assert found["hosts allow"] == ["192.0.2.1 2001:db8::2"]
    assert found["hosts deny"] == ["*"]
    assert found["max connections"] == ["4"]
    for name in ("read only", "use chroot", "munge symlinks"):
        assert found[name] == ["yes"]
    assert found["list"] == ["no"]


@pytest.mark.parametrize(
    "changes",
    [
        {"members": ["192.0.2.1\nhosts allow = *"]},
        {"members": "*"},
        {"members": [7]},
        {"members": ["192.0.2.1"] * 1001},
        {"members": []},
        {"members": ["no-such-host.invalid"]},
        {"port": "8873\naddress = 0.0.0.0"},
        {"port": 0},
        {"port": True},
    ],
    ids=str,
)
def test_a_request_cannot_say_more_than_it_may(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_numbers(name: str, *arguments: Any, **options: Any) -> Any:
        return resolve(name, *arguments, **options, flags=socket.AI_NUMERICHOST)

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", only_numbers)
    with pytest.raises(Failure):
        configuration(**changes)


def test_systemd_lets_through_the_fleet_and_gives_no_right_but_the_one_for_the_chroot() -> None:
    properties = unit_properties(Path("/srv/models/x/y"), ["192.0.2.1", "192.0.2.2"])
    assert [each for each in properties if each.startswith("IPAddress")] == [
        "IPAddressAllow=192.0.2.1",
        "IPAddressAllow=192.0.2.2",
        "IPAddressDeny=any",
    ]
    for each in (
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_SYS_CHROOT",
        "AmbientCapabilities=CAP_SYS_CHROOT",
        f"RuntimeMaxSec={serve.LONGEST_SERVICE}",
    ):
        assert each in properties


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_little_that_the_daemon_may_do(tmp_path: Path) -> None:
    unit = tmp_path / "peer.service"
    properties = unit_properties(Path("/srv/models/x/y"), ["192.0.2.1"])
    unit.write_text("\n".join(("[Service]", "ExecStart=/usr/bin/rsync", *properties, "")))
    analyzed = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=15", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert analyzed.returncode == 0, analyzed.stdout + analyzed.stderr


def test_a_host_listens_where_its_peers_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"192.0.2.7"}
    monkeypatch.setattr(serve, "_is_own", lambda address: address in own or address == "127.0.1.1")
    monkeypatch.setattr(serve, "_own_towards", lambda address: "10.0.0.7")
    assert listening_address(request(address="192.0.2.7")) == "192.0.2.7"
    # Behind an address translation it has not the one that it is reached by.
    assert listening_address(request(address="198.51.100.1")) == "10.0.0.7"
    # Its own name is its loopback address to itself.
    assert listening_address(request(address="127.0.1.1")) == "10.0.0.7"
    assert listening_address(request()) == "10.0.0.7"
    monkeypatch.setattr(serve, "_own_towards", lambda address: None)
    with pytest.raises(Failure, match="has no address that its peers reach"):
        listening_address(request(address="198.51.100.1"))


def test_members_are_addresses_each_once() -> None:
    assert addresses_of(["192.0.2.1", "192.0.2.1", "2001:DB8::2"]) == ["192.0.2.1", "2001:db8::2"]


def test_a_host_that_has_nothing_yet_gives_what_it_will_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision, model = "1" * 40, tmp_path / "model"

    def served(model: Path, revision: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"source": str(serve._what_to_serve(model, revision, whole=request["whole"]))}

    monkeypatch.setattr(snapshot_steps, "serve", served)
    asked = {"directory": str(model), "revision": revision, "whole": False}
    answer = snapshot_steps.step("serve", asked)
    assert answer == {"source": str(model / f".partial-{revision}")}
