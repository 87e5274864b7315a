"""What has a front share its address, by keepalived's own word and by its text."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fortyninety.gateway.shared_address import Place
from fortyninety.operations.virtual_address import ENDED_ITSELF
from fortyninety.plan.paths import plan_paths
from fortyninety.plan.plan import Plan, make_plan, needed_archives, sharing
from fortyninety.plan.programs import FRONT_READY, program
from fortyninety.plan.virtual_address import Shared, VirtualAddressPlan, plan_virtual_address
from fortyninety.releases.release import load_release
from fortyninety.survey.reading import FirewallReading
from tests.unit.readings import bare_host, settings

KEEPALIVED = shutil.which("keepalived", path="/usr/sbin:/sbin:/usr/local/sbin")
OWN = settings(roles=["gateway"], virtual_address="192.0.2.10/24")
PATHS = plan_paths(OWN, load_release(OWN.engine))
PLACES = {
    "four": Place("192.0.2.10/24", "192.0.2.1", ("192.0.2.2", "192.0.2.3")),
    "six": Place("2001:db8::10/64", "2001:db8::1", ("2001:db8::2",)),
    "alone": Place("192.0.2.10/24", "192.0.2.1", ()),
}


def planned(place: Place = PLACES["four"], interface: str = "eth0") -> VirtualAddressPlan:
    return plan_virtual_address(OWN, PATHS, Shared(place, interface))


def whole_plan(*, firewall: bool = True, shared: bool = True) -> Plan:
    its = settings(roles=["gateway"], virtual_address="192.0.2.10/24", firewall=firewall)
    reading = bare_host(firewall=FirewallReading(ssh_ports=(22,)))
    place = Shared(PLACES["four"], "eth0") if shared else None
    return sharing(make_plan(its, load_release(its.engine), reading), place)


def test_there_is_none_unless_it_is_asked_for() -> None:
    own = settings()
    assert make_plan(own, load_release(own.engine), bare_host()).virtual_address is None


@pytest.mark.skipif(KEEPALIVED is None, reason="keepalived is not installed")
@pytest.mark.parametrize("name", PLACES)
def test_keepalived_takes_it(name: str, tmp_path: Path) -> None:
    script = tmp_path / "front-ready"
    script.write_text(program(FRONT_READY))
    script.chmod(0o755)
    place = PLACES[name]
    # Addresses and an interface that this machine has in a network of its own.
    text = planned(place, "veth0").configuration.replace(PATHS.front_ready, str(script))
    (tmp_path / "keepalived.conf").write_text(text)
    six = ":" in place.own
    network = (
        "ip link add veth0 type veth peer name veth1; ip link set veth0 up; "
        f"ip {'-6' if six else '-4'} address add {place.own}/{64 if six else 24} dev veth0; "
    )
    test = f"{KEEPALIVED} --config-test --use-file={tmp_path}/keepalived.conf"
    ran = subprocess.run(
        ["unshare", "--net", "sh", "-c", f"{network}exec {test}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in ran.stderr:
        pytest.skip("needs root")
    said = [
        line
        for line in ran.stderr.splitlines()
        # pytest's folders are below /tmp, which everybody writes to.
        if "Unsafe permissions" not in line and "SECURITY VIOLATION" not in line
    ]
    assert said == [] and ran.returncode in (0, -15, ENDED_ITSELF), ran.stderr


def test_an_address_of_ipv6_is_none_that_the_host_itself_speaks_from() -> None:
    assert "    virtual_ipaddress {\n        192.0.2.10/24\n" in planned().configuration
    six = "        2001:db8::10/64 preferred_lft 0\n"
    assert f"    virtual_ipaddress {{\n{six}" in planned(PLACES["six"]).configuration


def test_the_front_is_looked_at_by_its_status_port_and_not_as_root() -> None:
    text = plan_virtual_address(
        settings(front_status_port=9404), PATHS, Shared(PLACES["four"], "eth0")
    ).configuration
    assert f'script "{PATHS.front_ready} alive 9404"' in text
    assert "script_user nobody nogroup\n    enable_script_security\n" in text


def test_all_fronts_have_one_number_and_one_priority() -> None:
    other = replace(PLACES["four"], own="192.0.2.2", peers=("192.0.2.1", "192.0.2.3"))
    texts = [planned(each).configuration.splitlines() for each in (PLACES["four"], other)]
    same = [[line for line in text if "_id" in line or "priority" in line] for text in texts]
    assert same[0] == same[1]


def test_the_unit_hears_the_other_fronts_and_knows_itself() -> None:
    unit = planned().unit
    assert "IPAddressAllow=localhost 192.0.2.1 192.0.2.2 192.0.2.3\n" in unit
    assert (
        "IPAddressAllow=localhost 2001:db8::1 2001:db8::2 ff02::1\n" in planned(PLACES["six"]).unit
    )
    assert f"echo {planned().digest} >" in unit
    assert planned(interface="eth1").digest != planned().digest


def test_what_it_is_made_of_is_fetched() -> None:
    assert needed_archives(whole_plan(firewall=False), bare_host()) != ()
    assert [each.name for each in planned().packages] == ["keepalived"]


def test_a_firewall_lets_vrrp_in_from_the_other_fronts_alone() -> None:
    made = whole_plan().firewall
    assert made is not None
    rules = [line.strip() for line in made.rules.splitlines() if "l4proto" in line]
    assert rules == ["ip saddr { 192.0.2.2/31 } meta l4proto 112 accept"]
    without = whole_plan(shared=False).firewall
    assert without is not None and "l4proto" not in without.rules
