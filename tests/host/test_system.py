"""What the rest stands on: disk, memory, clock, packages, and nothing that failed unseen."""

from __future__ import annotations

import re
import time
from shlex import quote

from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.on_host import read
from tests.host.packages import SimulatedUpgrade

# A filesystem is too full with less than a twentieth free, unless there are still so many bytes.
LEAST_FREE = 0.05
ENOUGH_FREE = 5 * 1024**3
# How far a host's clock may be from this machine's, in seconds, beyond the time that asking took.
CLOCK_TOLERANCE = 5.0


def test_no_unit_failed(host: Host) -> None:
    """What failed unseen is missing on the day that it is needed."""
    listed = host.check_output("systemctl list-units --failed --plain --no-legend")
    failed = [line.split()[0] for line in listed.splitlines() if line]
    assert not failed, (
        f"{', '.join(failed)} failed; expected none. Look at `systemctl status`, then "
        "`systemctl reset-failed`"
    )


def test_every_filesystem_has_room(host: Host, settings: Settings) -> None:
    """A full disk stops the journal, apt and the next checkpoint, one after the other."""
    full = []
    for found in read(host, "filesystems"):
        free, size = found["free"], found["size"]
        if free < min(LEAST_FREE * size, ENOUGH_FREE):
            full.append(
                f"{found['path']} has {free / 1024**2:.1f} of {size / 1024**2:.1f} MiB free; "
                f"expected at least {min(LEAST_FREE * size, ENOUGH_FREE) / 1024**2:.1f}. `du -xh "
                f"{found['path']} | sort -h` says what takes it; journalctl --vacuum-size, apt-get "
                "clean and snapshots_kept give some back"
            )
        if found["inodes"] and found["free_inodes"] < LEAST_FREE * found["inodes"]:
            full.append(
                f"{found['path']} has {found['free_inodes']} of {found['inodes']} inodes left; "
                "expected a twentieth. Look for a folder with very many files"
            )
    assert not full, "\n".join(full)


def test_no_filesystem_is_read_only(host: Host, settings: Settings) -> None:
    """A disk with errors is mounted read-only, and all goes on until something is written."""
    for path in ("/", "/var", "/etc", *_folders(settings)):
        options = host.check_output(f"findmnt --noheadings --output OPTIONS --target {path}")
        assert "ro" not in options.split(","), (
            f"{path} is mounted read-only; expected to be writable. Look at `dmesg` for errors of "
            "its disk"
        )


def test_every_disk_that_the_next_boot_waits_for_is_there(host: Host) -> None:
    """A line in fstab for a disk that was taken out ends the next boot at a console."""
    lines = read(host, "boot_mounts")
    assert not lines, (
        "; ".join(f"fstab mounts {each['source']} on {each['target']}" for each in lines)
        + ", which is not there, and the next boot waits for it; expected the disk, or `nofail` "
        "among its options. Mend /etc/fstab"
    )


def test_the_folders_are_there_after_the_next_boot(host: Host, settings: Settings) -> None:
    """A disk that somebody mounted by hand is gone after a reboot, and 40 GB with it."""
    for path in _folders(settings):
        shown = host.check_output(f"findmnt --noheadings --output FSTYPE,TARGET --target {path}")
        kind, target = shown.split(maxsplit=1)
        # ZFS mounts its own, from what the pool says.
        if target == "/" or kind == "zfs":
            continue
        unit = host.check_output(f"systemd-escape --path --suffix=mount {quote(target)}")
        kept = host.check_output(
            f"systemctl show --property=FragmentPath --property=SourcePath {quote(unit)}"
        )
        # What systemd only found mounted has the kernel's own list as its source.
        assert re.search(r"=/(?!proc/)", kept), (
            f"{path} is on what is mounted at {target}, which is in no fstab and no unit: it is "
            "gone after the next boot; expected it to be mounted at boot. Add it to /etc/fstab"
        )


def test_the_kernel_reports_no_errors_of_disk_or_memory(host: Host) -> None:
    """Hardware announces its end in the kernel's log, where nobody reads it."""
    pattern = (
        "I/O error|EXT4-fs error|XFS.*corruption|nvme.*(timeout|reset)|Hardware Error|mce:.*error"
    )
    log = host.run(
        f"journalctl --dmesg --quiet --no-pager --output=cat --grep='{pattern}' | tail -n 3"
    ).stdout.strip()
    assert not log, (
        f"the kernel says: {log}; expected no error. Look at `smartctl -a` of the disk, and test "
        "the memory"
    )


def test_the_clock_is_right(host: Host) -> None:
    """With a wrong clock certificates are refused, and logs of two boxes cannot be compared."""
    before = time.time()
    theirs = float(host.check_output("date +%s.%N"))
    after = time.time()
    wrong_by = max(before - theirs, theirs - after, 0.0)
    assert wrong_by <= CLOCK_TOLERANCE, (
        f"the host's clock is {wrong_by:.0f} s away from this machine's; expected at most "
        f"{CLOCK_TOLERANCE:.0f} s. `timedatectl set-ntp true`, or look at this machine's own"
    )


def test_something_keeps_the_clock_right(host: Host) -> None:
    """A clock that nothing corrects is off by minutes after some months."""
    if host.run("systemd-detect-virt --container --quiet").rc == 0:
        return  # A container has its machine's clock and may not set it.
    synchronized = host.check_output("timedatectl show --property=NTPSynchronized --value")
    assert synchronized == "yes", (
        "the clock is not synchronised; expected a time server to be followed. Install "
        "systemd-timesyncd or chrony, `timedatectl set-ntp true`, and look at `timedatectl`"
    )


def test_what_happens_is_written_down(host: Host) -> None:
    """Without a journal nobody can say afterwards why the service ended."""
    journal = host.service("systemd-journald.service").systemd_properties["ActiveState"]
    assert journal == "active", (
        f"systemd-journald.service is {journal}; expected active. `systemctl unmask "
        "systemd-journald.service`, then start it"
    )
    settings = host.run("systemd-analyze cat-config systemd/journald.conf").stdout
    stored = re.findall(r"^\s*Storage\s*=\s*(\w+)", settings, re.MULTILINE)
    assert stored[-1:] != ["none"], (
        "the journal keeps nothing (Storage=none); expected auto or persistent. Look at "
        "/etc/systemd/journald.conf and journald.conf.d, then restart systemd-journald"
    )


def test_dpkg_finds_every_package_whole(host: Host) -> None:
    """A package that is half configured stops every later installation."""
    audit = host.run("dpkg --audit")
    said = (audit.stdout + audit.stderr).strip()
    assert not said, (
        f"dpkg --audit says: {said[:400]}; expected nothing. `dpkg --configure --pending`, or "
        "deploy again"
    )
    updates = host.run("find /var/lib/dpkg/updates -type f").stdout.strip()
    assert not updates, (
        f"dpkg was interrupted ({updates}); expected nothing pending. `dpkg --configure --pending`"
    )


def test_apt_can_be_used(host: Host, simulated_upgrade: SimulatedUpgrade) -> None:
    """Security updates stop, and the next deploy with them."""
    # Before it plans anything, apt refuses what `apt-get check` complains of.
    said = simulated_upgrade.stdout + simulated_upgrade.stderr
    assert simulated_upgrade.rc == 0, (
        f"apt-get --simulate dist-upgrade: {said.strip()[-400:]}; expected no complaint. "
        "`apt-get --fix-broken install`, and look at /etc/apt"
    )
    targets = host.run("apt-get indextargets --format '$(SITE)' 'Created-By: Packages'")
    assert targets.rc == 0 and targets.stdout.strip(), (
        f"apt knows no archive: {targets.stderr.strip() or 'no source is set up'}; expected the "
        "distribution's. Look at /etc/apt/sources.list.d"
    )


def test_nobody_holds_the_lock_of_apt(host: Host) -> None:
    """While somebody holds it, no update and no deploy gets through."""
    holders = read(host, "apt_locks")
    assert not holders, (
        f"{'; '.join(holders)}; expected it free. If that is unattended-upgrades at work, check "
        "again in some minutes; else end the process"
    )


def test_enough_memory_is_left(host: Host) -> None:
    """With no memory left the kernel ends a process, and the engine is the largest."""
    shown = host.check_output("cat /proc/meminfo").splitlines()
    sizes = {line.partition(":")[0]: int(line.split()[1]) for line in shown}
    available, total = sizes["MemAvailable"], sizes["MemTotal"]
    assert available >= LEAST_FREE * total, (
        f"{available // 1024} of {total // 1024} MiB of memory are available; expected a "
        "twentieth. Look at `ps aux --sort=-rss | head`"
    )


def test_the_host_boots_into_its_service(host: Host, settings: Settings) -> None:
    """A host that stops in rescue mode needs somebody at its console."""
    target = host.check_output("systemctl get-default")
    assert target in ("multi-user.target", "graphical.target"), (
        f"the host boots into {target}; expected multi-user.target. `systemctl set-default "
        "multi-user.target`"
    )
    wants = host.check_output("systemctl show --property=Wants --value multi-user.target").split()
    wanted = ("vllm.service", "fortyninety-power-limit.service") if settings.has_engine else ()
    lacking = [each for each in wanted if each not in wants]
    assert not lacking, (
        f"multi-user.target does not want {', '.join(lacking)}; expected to, or they do not start "
        "at boot. Deploy again"
    )


def _folders(settings: Settings) -> tuple[str, ...]:
    """What a deploy puts things into: models where an engine is, programs but on a monitor."""
    models = (settings.models_directory,) if settings.has_engine else ()
    programs = settings.has_engine or settings.is_front or settings.signals
    return (*((settings.install_directory,) if programs else ()), *models)
