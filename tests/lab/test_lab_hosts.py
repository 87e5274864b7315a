"""The lab's own promises: real hosts, real reboots, nothing left behind.

Runs on a machine without a lab: it makes one, and ends it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from lab import cgroups, hosts, inventory, paths
from lab.errors import LabError
from lab.gpu import control
from lab.hosts import LabHost, saved_hosts, ssh
from lab.hub import hub_process
from lab.sources import apt_cache

pytestmark = pytest.mark.lab

_SAVED = "test-lab-hosts"
_DRIVER = "550.163.01"


def _traces() -> dict[str, object]:
    """What a lab could leave on this machine."""
    state = str(paths.state_directory())
    processes, namespaces = [], set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            groups = (process / "cgroup").read_text()
            namespaces.add(str((process / "ns/net").readlink()))
        except OSError:
            continue  # it ended meanwhile
        if state in command or f"\n0::/{cgroups.PARENT}/" in f"\n{groups}":
            processes.append(command)
    return {
        "processes": processes,
        "network namespaces": namespaces | set(_lines("ip", "netns", "list")),
        "mounts": Path("/proc/self/mounts").read_text(),
        "links": {link["ifname"] for link in json.loads("".join(_lines("ip", "-json", "link")))},
        "firewall": _lines("nft", "list", "ruleset"),
        "control groups": [
            str(group)
            for hierarchy in cgroups.hierarchies()
            for group in hierarchy.glob(f"{cgroups.PARENT}*")
        ],
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "state": paths.state_directory().exists(),
    }


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module")
def untouched() -> Iterator[dict[str, object]]:
    """The machine as it is before any lab; the lab is gone afterwards whatever happened."""
    if hosts.hosts():
        pytest.fail("a lab is up on this machine: end it with `fortyninety lab down` first")
    hosts.down()
    _remove_saved()
    yield _traces()
    hosts.down()
    _remove_saved()


def _remove_saved() -> None:
    if _SAVED in [saved.name for saved in saved_hosts.everything()]:
        saved_hosts.remove(_SAVED)


@pytest.fixture(scope="module")
def pair(untouched: dict[str, object]) -> list[LabHost]:
    """Two hosts, the second with one card of another model."""
    del untouched
    return hosts.up(2, cards=["2x24564", "1xNVIDIA GeForce RTX 3090"])


@pytest.fixture(scope="module")
def host(pair: list[LabHost]) -> LabHost:
    """The first of the two."""
    return pair[0]


def _until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s"
        time.sleep(0.05)


def test_an_inventory_without_hosts_says_how_to_get_one(untouched: dict[str, object]) -> None:
    del untouched
    with pytest.raises(LabError, match="fortyninety lab up"):
        inventory.inventory()


def test_a_host_boots_without_a_failed_unit(pair: list[LabHost]) -> None:
    for each in pair:
        done = each.ssh("systemctl is-system-running; systemctl list-units --failed --no-legend")
        assert done.stdout.split() == ["running"], f"{each.name}: {done.stdout}"


def test_a_host_takes_less_than_100_mb(host: LabHost) -> None:
    assert 0 < host.memory_bytes() < 100e6


def test_down_of_one_host_leaves_the_others(pair: list[LabHost]) -> None:
    hosts.up(3)
    hosts.down(["lab3"])
    assert [each.name for each in hosts.hosts()] == [each.name for each in pair]


def test_up_leaves_the_hosts_that_are_there_as_they_are(pair: list[LabHost]) -> None:
    boots = [each.boots for each in pair]
    assert hosts.up(2) == pair
    assert [each.boots for each in pair] == boots


def test_two_commands_at_once_wait_for_each_other(pair: list[LabHost]) -> None:
    command = [sys.executable, "-m", "lab.cli", "up", "2", "--json"]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for each in both:
        output, _ = each.communicate(timeout=300)
        assert each.returncode == 0
        assert [item["name"] for item in json.loads(output)["result"]["hosts"]] == [
            h.name for h in pair
        ]


def test_a_host_is_reached_only_with_the_labs_key_and_its_host_key_is_known(host: LabHost) -> None:
    effective = host.ssh("sshd -T", check=True).stdout.splitlines()
    assert "passwordauthentication no" in effective
    assert "kbdinteractiveauthentication no" in effective
    line = ssh.command_line(host.address, ["true"])
    assert "StrictHostKeyChecking=yes" in line
    without_key = [word if word != str(ssh.key_file()) else "/dev/null" for word in line]
    refused = subprocess.run(without_key, capture_output=True, text=True, check=False)
    assert "Permission denied" in refused.stderr


def test_hosts_have_identities_of_their_own(pair: list[LabHost]) -> None:
    command = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; hostname"
    first, second = (each.ssh(command, check=True).stdout.split() for each in pair)
    assert first[0] != second[0], "the same machine id"
    assert first[2] != second[2], "the same host key"
    assert (first[-1], second[-1]) == ("lab1", "lab2")


def test_a_reboot_changes_the_boot_id_and_keeps_link_address_and_disk(host: LabHost) -> None:
    look = "cat /proc/sys/kernel/random/boot_id; ip -o -4 address show host0; cat /root/kept"
    host.ssh("echo kept > /root/kept; echo lost > /run/lost", check=True)
    before = host.ssh(look, check=True).stdout.splitlines()
    host.reboot()
    after = host.ssh(look, check=True).stdout.splitlines()
    assert after[0] != before[0], "the boot id is the same"
    assert after[1:] == before[1:]
    assert host.ssh("test -e /run/lost").returncode == 1
    listed = host.ssh("journalctl --list-boots", check=True).stdout.splitlines()
    assert len(listed) == 3, f"expected a heading and two boots: {listed}"


def test_a_host_that_powers_itself_off_is_stopped_and_starts_again_as_it_was(
    host: LabHost,
) -> None:
    host.ssh("echo before > /root/power; systemctl poweroff")
    _until(lambda: not host.running, "the host's end")
    assert host.ssh("true").returncode == 255
    assert [name for name, _ in inventory.inventory()] == ["lab2"]
    host.start()
    assert host.ssh("cat /root/power", check=True).stdout == "before\n"


def test_a_host_whose_power_was_cut_starts_again(host: LabHost) -> None:
    host.cut_power()
    assert not host.running
    host.start()
    assert host.ssh("systemctl is-system-running").stdout == "running\n"


def test_two_hosts_install_packages_at_once_and_nothing_is_fetched_twice(
    pair: list[LabHost],
) -> None:
    with ThreadPoolExecutor() as both:
        updates = list(both.map(lambda each: each.ssh("apt-get -q update"), pair))
        install = "apt-get -q install --yes --no-install-recommends"
        packages = ("hello", "tree")
        jobs = [
            both.submit(each.ssh, f"{install} {package} && command -v {package}", check=True)
            for each, package in zip(pair, packages, strict=True)
        ]
        for job, package in zip(jobs, packages, strict=True):
            assert job.result().stdout.strip().endswith(f"/{package}")
    assert [done.returncode for done in updates] == [0, 0], updates
    cached = next((paths.cache_directory() / "apt").rglob("hello_*.deb"))
    fetched = cached.stat().st_ctime_ns
    pair[1].ssh(f"{install} hello", check=True)
    assert cached.stat().st_ctime_ns == fetched, "the package was fetched a second time"


def test_a_host_reaches_the_package_index_and_the_labs_wheels(host: LabHost) -> None:
    assert "cert = " in host.ssh("cat /etc/pip.conf", check=True).stdout
    assert "torch-" in host.ssh("ls /var/lib/lab/wheels", check=True).stdout


def test_the_hub_answers_from_inside_a_host_also_after_its_restart(host: LabHost) -> None:
    fetch = (
        "python3 -c 'import sys, urllib.request as u; "
        f'print(u.urlopen("{hub_process.endpoint()}/api/models/'
        "fortyninety-lab/tiny-llama-awq-int4\").status)'"
    )
    assert host.ssh(fetch, check=True).stdout == "200\n"
    hub_process.down()
    assert host.ssh(fetch).returncode != 0
    hub_process.up()
    assert host.ssh(fetch, check=True).stdout == "200\n"


def test_the_bus_shows_each_hosts_own_cards(pair: list[LabHost]) -> None:
    look = "cat /sys/bus/pci/devices/*/vendor /sys/bus/pci/devices/*/device"
    assert pair[0].ssh(look, check=True).stdout.split() == ["0x10de"] * 2 + ["0x2684"] * 2
    assert pair[1].ssh(look, check=True).stdout.split() == ["0x10de", "0x2204"]


@pytest.fixture(scope="module")
def with_driver(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> LabHost:
    """A host with NVIDIA's own nvidia-smi, and a module as DKMS would have left it.

    Compiling the real one takes minutes and is what the deploy's tests do; here it is an object
    file that says its version, which is all that the boot looks at.
    """
    host.ssh("apt-get -q update", check=True)
    host.ssh("apt-get -q install --yes --no-install-recommends nvidia-smi", check=True)
    no_module = host.ssh("nvidia-smi")
    assert no_module.returncode == 9
    assert "couldn't communicate with the NVIDIA driver" in no_module.stdout
    _install_module(host, _DRIVER, tmp_path_factory.mktemp("module"))
    assert host.ssh("nvidia-smi").returncode == 9, "a driver answers before the boot that loads it"
    host.reboot()
    return host


def _install_module(host: LabHost, version: str, directory: Path) -> None:
    source, module = directory / "module.c", directory / "nvidia-current.ko"
    source.write_text(
        f'const char version[] __attribute__((section(".modinfo"))) = "version={version}";\n'
    )
    subprocess.run(["gcc", "-c", "-o", module, source], check=True)
    host.ssh(
        "folder=$(echo /lib/modules/*-cloud-amd64)/updates/dkms && mkdir -p $folder "
        "&& base64 -d > $folder/nvidia-current.ko",
        input_text=subprocess.run(
            ["base64", module], check=True, capture_output=True, text=True
        ).stdout,
        check=True,
    )


def _query(host: LabHost, fields: str) -> list[str]:
    command = f"nvidia-smi --query-gpu={fields} --format=csv,noheader,nounits"
    return host.ssh(command, check=True).stdout.splitlines()


def test_nvidia_smi_shows_the_cards_after_the_boot_that_follows_the_drivers_build(
    with_driver: LabHost,
) -> None:
    assert control.driver_version(with_driver.name) == _DRIVER
    fields = "index,name,pci.bus_id,memory.total,driver_version,power.default_limit,power.max_limit"
    assert _query(with_driver, fields) == [
        f"0, NVIDIA GeForce RTX 4090, 00000000:01:00.0, 24564, {_DRIVER}, 450.00, 600.00",
        f"1, NVIDIA GeForce RTX 4090, 00000000:02:00.0, 24564, {_DRIVER}, 450.00, 600.00",
    ]
    listed = with_driver.ssh("nvidia-smi -L", check=True).stdout.splitlines()
    assert listed[0].startswith("GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-")
    assert "Product Name" in with_driver.ssh("nvidia-smi -q", check=True).stdout


def test_a_card_is_found_by_its_pci_address_every_time(with_driver: LabHost) -> None:
    # Many times: what nvidia-smi is not told it takes from its stack, which differs between starts.
    ask = "nvidia-smi --query-gpu=index --format=csv,noheader"
    asked = with_driver.ssh(f"for i in $(seq 40); do {ask} --id=0000:02:00.0; done")
    assert asked.stdout.splitlines() == ["1"] * 40
    assert with_driver.ssh(f"{ask} --id=0000:03:00.0").stdout == "No devices were found\n"


def test_the_stand_in_wins_over_the_library_of_nvidias_own_package(with_driver: LabHost) -> None:
    found = with_driver.ssh("ldconfig -p | grep libnvidia-ml.so.1", check=True).stdout.splitlines()
    assert len(found) == 2, "NVIDIA's own library is not there, so nothing was won over"
    assert found[0].endswith("/usr/lib/lab/libnvidia-ml.so.1")


def test_a_power_limit_is_kept_until_the_reboot(with_driver: LabHost) -> None:
    said = with_driver.ssh("nvidia-smi -i 0 -pl 400", check=True).stdout
    assert "was set to 400.00 W from 450.00 W" in said
    assert _query(with_driver, "power.limit") == ["400.00", "450.00"]
    assert control.power_limit_watts(with_driver.name, 0) == 400
    with_driver.reboot()
    assert _query(with_driver, "power.limit") == ["450.00", "450.00"]


def test_a_power_limit_outside_the_cards_own_is_refused(with_driver: LabHost) -> None:
    for watts in (149, 601):
        refused = with_driver.ssh(f"nvidia-smi -i 0 -pl {watts}")
        assert refused.returncode == 2
        assert "should be between 150.00 W and 600.00 W" in refused.stdout
    assert _query(with_driver, "power.limit") == ["450.00", "450.00"]


def test_only_root_sets_a_power_limit(with_driver: LabHost) -> None:
    refused = with_driver.ssh("setpriv --reuid=65534 --clear-groups nvidia-smi -i 0 -pl 400")
    assert refused.returncode != 0
    assert _query(with_driver, "power.limit") == ["450.00", "450.00"]


def test_persistence_and_compute_mode_are_set_and_lost_at_the_reboot(with_driver: LabHost) -> None:
    with_driver.ssh("nvidia-smi -pm 1 && nvidia-smi -i 1 --compute-mode=PROHIBITED", check=True)
    assert _query(with_driver, "persistence_mode") == ["Enabled", "Enabled"]
    assert _query(with_driver, "compute_mode") == ["Default", "Prohibited"]
    with_driver.reboot()
    assert _query(with_driver, "persistence_mode") == ["Disabled", "Disabled"]
    assert _query(with_driver, "compute_mode") == ["Default", "Default"]


def test_a_card_can_be_made_to_refuse_a_power_limit_and_be_repaired(with_driver: LabHost) -> None:
    control.fail(with_driver.name, control.Call.SET_POWER_LIMIT)
    refused = with_driver.ssh("nvidia-smi -i 0 -pl 400")
    assert refused.returncode != 0
    assert "Unknown Error" in refused.stdout
    control.repair(with_driver.name)
    assert with_driver.ssh("nvidia-smi -i 0 -pl 400").returncode == 0


def test_a_module_of_another_version_than_the_library_is_a_mismatch_from_the_next_boot(
    with_driver: LabHost, tmp_path: Path
) -> None:
    _install_module(with_driver, "550.54.14", tmp_path)
    assert with_driver.ssh("nvidia-smi").returncode == 0
    with_driver.reboot()
    mismatch = with_driver.ssh("nvidia-smi")
    assert mismatch.returncode == 18
    assert "Driver/library version mismatch" in mismatch.stdout
    _install_module(with_driver, _DRIVER, tmp_path)
    with_driver.reboot()
    assert with_driver.ssh("nvidia-smi").returncode == 0


def test_a_saved_host_starts_others_with_its_disk_and_identities_of_their_own(
    pair: list[LabHost],
) -> None:
    host = pair[1]
    host.ssh("echo deployed > /root/deployed; rm -rf /etc/skel", check=True)
    hosts.save(host.name, _SAVED)
    assert host.ssh("cat /root/deployed").stdout == "deployed\n", "the host did not come back"
    clone = hosts.up(3, saved=_SAVED)[2]
    look = "cat /root/deployed; hostname; test -e /etc/skel || echo gone; cat /etc/machine-id"
    deployed, name, deletion, machine = clone.ssh(look, check=True).stdout.split()
    assert (deployed, name, deletion) == ("deployed", "lab3", "gone")
    assert machine not in host.ssh("cat /etc/machine-id").stdout
    with pytest.raises(LabError, match="already"):
        hosts.save(host.name, _SAVED)
    with pytest.raises(LabError, match=f"saved: .*{_SAVED}"):
        hosts.up(4, saved="no-such-host")
    hosts.down(["lab3"])


def test_an_unknown_host_is_named_with_the_known_ones(pair: list[LabHost]) -> None:
    del pair
    with pytest.raises(LabError, match=r"lab9.*hosts: lab1, lab2"):
        LabHost.read("lab9")


def test_status_tells_running_from_stopped_hosts(pair: list[LabHost]) -> None:
    pair[1].stop()
    command = [sys.executable, "-m", "lab.cli", "status", "--json"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    running = {
        item["name"]: item["running"] for item in json.loads(output.stdout)["result"]["hosts"]
    }
    assert running == {"lab1": True, "lab2": False}


def test_down_leaves_nothing_behind(pair: list[LabHost], untouched: dict[str, object]) -> None:
    del pair
    assert _traces() != untouched, "the comparison does not see a lab that is up"
    hosts.down()
    assert _traces() == untouched
    hosts.down()
    assert _traces() == untouched


@pytest.mark.parametrize("reached", ["ip_forward", "apt-cache", "hosts/lab1", "hosts/lab1/boots"])
def test_a_killed_up_is_taken_up_by_the_next_and_removed_by_down(
    reached: str, untouched: dict[str, object]
) -> None:
    command = [sys.executable, "-m", "lab.cli", "up", "2"]
    killed = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    _until((paths.state_directory() / reached).exists, reached)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    again = hosts.up(1)
    assert again[0].ssh("systemctl is-system-running").stdout == "running\n"
    assert cgroups.alive(apt_cache.CONTROL_GROUP)
    hosts.down()
    assert _traces() == untouched
