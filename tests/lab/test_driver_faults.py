"""What goes wrong with drivers, apt and power on real boxes.

Each ends in a clear error, with nothing left half done, or in a converged host: on a host that a
whole deploy left, by a deploy of the driver's, CUDA's and power's stages alone. A test leaves the
host converged for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.gpu import control
from lab.hosts import LabHost
from tests.lab.converged_hosts import start_converged_with_two_cards
from tests.lab.deploys import LAB_INVENTORY, Result, deploy, deploying, write_inventory

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

DRIVER_DEPLOY = "tests/lab/driver_deploy.py"
# A small package of the driver's stage, for whatever happens to an installation.
PACKAGE = "nvidia-modprobe"
REMOVE_PACKAGE = f"DEBIAN_FRONTEND=noninteractive dpkg --purge --force-depends {PACKAGE}"
BUILD = "Driver | Build its module for the kernel that boots next"
# What DKMS has of the driver, in the shell's variables.
MODULE = (
    "kernel=$(ls /boot | sed -n 's/^vmlinuz-//p' | sort -V | tail -n 1); "
    "folder=$(echo /var/lib/dkms/nvidia-current/[0-9]*); version=${folder##*/};"
)
# Holds dpkg's front end as unattended upgrades do, until it is told to end.
HOLD_LOCK = (
    "import fcntl, pathlib, time\n"
    "lock = open('/var/lib/dpkg/lock-frontend', 'w')\n"
    "fcntl.lockf(lock, fcntl.LOCK_EX)\n"
    "pathlib.Path('/run/held').touch()\n"
    "while not pathlib.Path('/run/release').exists(): time.sleep(0.1)\n"
)


@pytest.fixture(scope="module")
def pair(lab: None) -> list[LabHost]:
    """Two hosts with two cards each, whose engine is not needed here."""
    del lab
    hosts = start_converged_with_two_cards(2)
    for host in hosts:
        host.ssh("systemctl disable --now --quiet vllm.service", check=True)
    ran = run()
    assert ran.exit_code == 0, ran.output
    return hosts


@pytest.fixture
def host(pair: list[LabHost]) -> LabHost:
    """The host of most tests."""
    return pair[0]


def run(*arguments: str, only: LabHost | None = None, inventory: str = LAB_INVENTORY) -> Result:
    limit = () if only is None else ("--limit", only.name)
    return deploy(*limit, *arguments, inventory=inventory, deploy_file=DRIVER_DEPLOY)


def assert_converged(host: LabHost) -> None:
    """A run changes nothing, and nothing is left half done."""
    ran = run(only=host)
    assert (ran.exit_code, ran.changed) == (0, {}), ran.output
    assert host.ssh("dpkg --audit; ls /var/lib/dpkg/updates").stdout == ""


def repaired(host: LabHost, *arguments: str) -> Result:
    """The next run, after whatever was wrong is gone, puts the host right."""
    ran = run(*arguments, only=host)
    assert ran.exit_code == 0, ran.output
    assert_converged(host)
    return ran


def failed(host: LabHost, *arguments: str) -> Result:
    """A run that fails and reboots nothing."""
    boots = host.boots
    ran = run(*arguments, only=host)
    assert ran.exit_code != 0, ran.output
    assert "Traceback" not in ran.output, ran.output
    assert host.boots == boots
    return ran


def installed(host: LabHost, package: str = PACKAGE) -> bool:
    found = host.ssh(f"dpkg-query -W -f '${{db:Status-Status}}' {package}")
    return found.stdout == "installed"


@contextmanager
def broken(host: LabHost, fault: str, mend: str) -> Iterator[None]:
    """With a fault on the host, which is mended whatever comes of it."""
    host.ssh(fault, check=True)
    try:
        yield
    finally:
        host.ssh(mend, check=True)


# --- apt that others use too ----------------------------------------------------------------------


@pytest.fixture
def lock_held(host: LabHost) -> Iterator[LabHost]:
    """Another process has dpkg's lock, and the deploy has something to hold."""
    host.ssh(f"apt-mark unhold {PACKAGE}; rm -f /run/held /run/release", check=True)
    host.ssh("cat > /usr/local/bin/unattended-upgrade", input_text=HOLD_LOCK, check=True)
    host.ssh(
        "systemd-run --quiet --unit=upgrades python3 /usr/local/bin/unattended-upgrade; "
        "until [ -e /run/held ]; do sleep 0.1; done",
        check=True,
    )
    yield host
    host.ssh("touch /run/release", check=True)


def test_a_lock_held_for_too_long_fails_the_host_and_names_its_holder(lock_held: LabHost) -> None:
    ran = failed(lock_held, "--data", "apt_lock_timeout=2")
    process = lock_held.ssh("systemctl show -P MainPID upgrades").stdout.strip()
    assert (
        f"apt is in use by `/usr/bin/python3 /usr/local/bin/unattended-upgrade` (process {process}"
        in ran.output
    ), ran.output
    assert "expected it free within 2 s (apt_lock_timeout)" in ran.output
    lock_held.ssh("touch /run/release", check=True)
    repaired(lock_held)


def test_a_lock_that_is_released_is_waited_for_and_the_run_goes_on(lock_held: LabHost) -> None:
    seen = []
    # Short of the setting's ten minutes: who waits for nothing fails here soon.
    waiting = ("--limit", lock_held.name, "--data", "apt_lock_timeout=60")
    with deploying(*waiting, deploy_file=DRIVER_DEPLOY) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seen.append(line)
            if "Waiting for" in line:
                lock_held.ssh("touch /run/release", check=True)
    output = "".join(seen)
    assert "/usr/local/bin/unattended-upgrade` (process" in output, output
    assert process.returncode == 0, output
    assert_converged(lock_held)


def test_a_dpkg_that_was_interrupted_is_repaired_first(host: LabHost) -> None:
    host.ssh(
        f"{REMOVE_PACKAGE}; cd /tmp && apt-get -qq download {PACKAGE} && "
        f"dpkg --unpack {PACKAGE}_*.deb && "
        # What dpkg had noted down and not yet written into its database when it was killed.
        f"dpkg-query -s {PACKAGE} > /var/lib/dpkg/updates/0000",
        check=True,
    )
    repaired(host)
    assert installed(host)


@pytest.mark.exhaustive  # an archive out of reach refuses a run in test_engines too
def test_an_archive_out_of_reach_refuses_the_run_before_any_change(host: LabHost) -> None:
    host.ssh(REMOVE_PACKAGE, check=True)
    dead = "/etc/apt/apt.conf.d/99dead"
    proxy = 'Acquire::http::Proxy "http://127.0.0.1:9";'
    with broken(host, f"echo '{proxy}' > {dead}", f"rm {dead}"):
        ran = failed(host)
        assert "Refused: nothing was changed on any host" in ran.output
        assert f"{host.name}: archive " in ran.output, ran.output
        assert "Unable to connect to 127.0.0.1:9" in ran.output
        assert not installed(host)
    repaired(host)


def test_an_archive_signed_with_another_key_is_not_installed_from(host: LabHost) -> None:
    host.ssh(f"{REMOVE_PACKAGE}; rm -r /var/lib/apt/lists/*", check=True)
    source = "/etc/apt/sources.list.d/debian.sources"
    other = "/usr/share/keyrings/debian-archive-removed-keys.pgp"
    with broken(
        host,
        f"cp -a {source} /root/kept; sed -i 's#^Signed-By:.*#Signed-By: {other}#' {source}",
        f"mv /root/kept {source}",
    ):
        ran = failed(host)
        assert "Missing key" in ran.output, ran.output
        assert "not signed with a key that its source trusts" in ran.output
        assert not installed(host)
    repaired(host)


def test_a_disk_too_small_is_said_before_anything_is_installed(host: LabHost) -> None:
    host.ssh(REMOVE_PACKAGE, check=True)
    archives = "/var/cache/apt/archives"
    with broken(host, f"mount -t tmpfs -o size=16k t {archives}", f"umount {archives}"):
        ran = failed(host)
        assert f"{archives} has 16 kB free; expected " in ran.output, ran.output
        assert "Nothing was installed: make room" in ran.output
        assert not installed(host)
    repaired(host)


def test_a_disk_that_fills_up_during_the_installation_is_said_and_gone_on_from(
    host: LabHost,
) -> None:
    folder = f"/usr/share/doc/{PACKAGE}"
    host.ssh(f"{REMOVE_PACKAGE}; mkdir -p {folder}", check=True)
    with broken(host, f"mount -t tmpfs -o size=4k t {folder}", f"umount {folder}"):
        ran = failed(host)
        assert "No space left on device" in ran.output, ran.output
        assert "Make room" in ran.output and "it goes on where dpkg stopped" in ran.output
    repaired(host)
    assert installed(host)


# --- The module, and the kernel that boots next ---------------------------------------------------


def test_a_module_that_does_not_build_fails_the_host_with_the_compilers_words(
    host: LabHost,
) -> None:
    with broken(
        host,
        f"{MODULE} dkms uninstall nvidia-current/$version -k $kernel && "
        "mv $folder/$kernel /root/built && "
        """echo 'MAKE[0]="echo fatal error: no such header >&2; false"' """
        "> /etc/dkms/nvidia-current.conf",
        f"{MODULE} rm -rf /etc/dkms/nvidia-current.conf $folder/build; "
        "mv /root/built $folder/$kernel",
    ):
        ran = failed(host)
        assert "Bad return status for module build on kernel" in ran.output, ran.output
        assert "make.log: " in ran.output and "no such header" in ran.output, ran.output
        # Not by pyinfra's result: where every host failed it prints none.
        assert "building the module for kernel" in ran.output, ran.output
    assert BUILD in repaired(host).changed


def test_a_next_kernel_without_headers_is_an_error_and_no_reboot(host: LabHost) -> None:
    control.load_driver(host.name, "535.54.03")
    with broken(
        host,
        "touch /boot/vmlinuz-9.9.9-amd64; mkdir /lib/modules/9.9.9-amd64",
        "rm -r /boot/vmlinuz-9.9.9-amd64 /lib/modules/9.9.9-amd64",
    ):
        ran = failed(host)
        assert "linux-headers-9.9.9-amd64" in ran.output, ran.output
        assert "No archive of the host has headers for the kernel that boots next" in ran.output
    repaired(host)  # by the reboot that it needed


def test_libraries_newer_than_the_module_are_put_right_by_one_reboot_if_it_is_allowed(
    host: LabHost,
) -> None:
    control.load_driver(host.name, "535.54.03")
    assert "version mismatch" in host.ssh("nvidia-smi").stdout
    ran = failed(host, "--data", "allow_reboot=false")
    assert "535.54.03 is in memory: a reboot is pending, and allow_reboot is False" in ran.output
    boots = host.boots
    repaired(host)
    assert host.boots == boots + 1


def test_nouveau_on_the_cards_is_kept_from_them_by_one_reboot(host: LabHost) -> None:
    host.ssh("rm /etc/modprobe.d/fortyninety-nouveau.conf", check=True)
    control.load_nouveau(host.name)
    boots = host.boots
    ran = repaired(host)
    assert "Driver | Keep nouveau from the cards" in ran.changed
    assert "nouveau holds the cards" in ran.output
    assert host.boots == boots + 1
    assert host.ssh("test -e /sys/module/nouveau").returncode == 1


def test_a_run_cut_before_the_initramfs_was_made_is_made_up_for(host: LabHost) -> None:
    """The file of a deploy is there, and the initramfs was made without it."""
    file, aside = "/etc/modprobe.d/fortyninety-nouveau.conf", "/root/fortyninety-nouveau.conf"
    held = f"lsinitramfs /boot/initrd.img-* | grep {file.removeprefix('/')}"
    host.ssh(f"mv {file} {aside} && update-initramfs -u && cp {aside} {file}", check=True)
    assert host.ssh(held).returncode == 1
    assert "Driver | Have the initramfs keep nouveau away too" in repaired(host).changed
    assert host.ssh(held).returncode == 0


def test_secure_boot_without_the_modules_key_refuses_the_run_and_says_how_to_enrol_it(
    host: LabHost,
) -> None:
    # The firmware's answers, from outside the product; the question is asked as on a real box.
    host.ssh(
        "cat > /root/mokutil; chmod 755 /root/mokutil",
        input_text='#!/bin/sh\ncase $1 in --sb-state) echo "SecureBoot enabled" ;; '
        '--test-key) echo "$2 is not enrolled" ;; esac\n',
        check=True,
    )
    control.load_driver(host.name, "535.54.03")
    mokutil = "/usr/local/bin/mokutil"
    with broken(host, f"mv /root/mokutil {mokutil}", f"rm {mokutil}"):
        ran = failed(host)
        assert f"{host.name}: Secure Boot is on, and the firmware does not know" in ran.output
        assert "mokutil --import /var/lib/dkms/mok.pub" in ran.output
    repaired(host)


# --- Reboots that go wrong ------------------------------------------------------------------------


def test_a_card_that_is_missing_after_the_reboot_is_named(host: LabHost) -> None:
    uuid = host.ssh("nvidia-smi --id=1 --query-gpu=uuid --format=csv,noheader").stdout.strip()
    control.cards_at_next_boot(host.name, kept=[0])
    control.load_nouveau(host.name)
    boots = host.boots
    try:
        ran = run(only=host)
        assert ran.exit_code != 0
        assert host.boots == boots + 1
        assert "after the reboot card 0000:02:00.0 is missing" in ran.output, ran.output
        assert "expected the 2 cards that were there before" in ran.output
    finally:
        control.cards_at_next_boot(host.name, kept=[0, 1])
        host.reboot()
    assert uuid in host.ssh("nvidia-smi -L").stdout
    assert_converged(host)


def test_a_host_that_does_not_come_back_fails_alone(pair: list[LabHost]) -> None:
    good, lost = pair
    # It goes down and stays down, as one whose firmware waits for a key does.
    drop_in = "/etc/systemd/system/systemd-reboot.service.d"
    lost.ssh(
        f"mkdir -p {drop_in}; printf '[Unit]\\nSuccessAction=poweroff-force\\n' > "
        f"{drop_in}/off.conf; systemctl daemon-reload",
        check=True,
    )
    for each in pair:
        control.load_driver(each.name, "535.54.03")
    ran = run("--data", "reboot_timeout=30")
    assert ran.exit_code != 0
    assert f"[{lost.name}]" in ran.output
    assert "did not come back from a reboot within 30 s (reboot_timeout)" in ran.output, ran.output
    assert all(names == [lost.name] for names in ran.failed.values()), ran.failed
    assert_converged(good)
    lost.start()
    lost.ssh(f"rm -r {drop_in}; systemctl daemon-reload", check=True)
    assert_converged(lost)


# --- Power ----------------------------------------------------------------------------------------


def test_each_card_gets_its_own_cap_and_one_outside_a_cards_limits_changes_none(
    host: LabHost, tmp_path: Path
) -> None:
    uuid = host.ssh("nvidia-smi --id=1 --query-gpu=uuid --format=csv,noheader").stdout.strip()

    def capped(second: int) -> Result:
        inventory = write_inventory(
            tmp_path,
            "from lab.inventory import inventory\n"
            f"caps = {{'0000:01:00.0': 420, '{uuid}': {second}}}\n"
            f"own = {{{host.name!r}: {{'power_limit': caps}}}}\n"
            "lab = [(name, {**data, **own.get(name, {})}) for name, data in inventory()]\n",
        )
        return run(only=host, inventory=inventory)

    ran = capped(120)
    assert ran.exit_code != 0
    assert f"power_limit of {uuid} is 120 W; expected from 150 to 600 W" in ran.output, ran.output
    assert control.power_limit_watts(host.name, 0) == 400
    ran = capped(350)
    assert ran.exit_code == 0, ran.output
    assert [control.power_limit_watts(host.name, index) for index in (0, 1)] == [420, 350]
    assert capped(350).changed == {}
    repaired(host)


def test_a_cap_comes_back_at_boot_and_with_a_driver_that_is_loaded_anew(host: LabHost) -> None:
    assert control.power_limit_watts(host.name, 1) == 400
    host.reboot()
    assert control.power_limit_watts(host.name, 1) == 400
    # Whoever loads a driver anew has to stop the daemon, which has the cards open.
    host.ssh("systemctl stop nvidia-persistenced", check=True)
    control.reload_driver(host.name)
    assert control.power_limit_watts(host.name, 1) is None
    host.ssh("systemctl start nvidia-persistenced && systemctl is-system-running --wait")
    assert host.ssh("systemctl is-active fortyninety-power-limit").stdout == "active\n"
    assert [control.power_limit_watts(host.name, index) for index in (0, 1)] == [400, 400]
    assert_converged(host)
