"""The driver in memory and on disk, the cards it shows, and what keeps all of it as it is."""

from __future__ import annotations

import shlex

import pytest
from testinfra.host import Host

from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from tests.host import packages
from tests.host.gpu_query import query
from tests.host.live_process import LiveProcess
from tests.host.packages import Package
from tests.host.read_before import ReadBefore

# What a card says it is held back by, and is right to be: nothing to do, or its own cap.
HARMLESS_REASONS = 0x1 | 0x2 | 0x4  # idle, application clocks, software power cap

# Of the driver, and of no use to the engine: X's configuration, a check at installation.
NOT_BESIDE_THE_MODULE = ("libnvidia-cfg1", "nvidia-legacy-check")


def brought_by_the_image(settings: Settings) -> bool:
    """Whether the driver is the image's, which a deploy checks and leaves alone."""
    return getattr(settings, "driver_source", "auto") == "present"


@pytest.fixture(scope="session")
def driver_packages(host: Host) -> list[Package]:
    """The installed packages of the driver."""
    found = packages.installed(host, packages.DRIVER_SOURCES)
    assert found, "no package of the NVIDIA driver is installed; expected one. Deploy again"
    return found


def test_the_driver_in_memory_is_of_the_wanted_branch(
    host: Host, settings: Settings, release: Release
) -> None:
    """Without it no card computes anything, whatever is installed on disk."""
    lowest = max(550, release.driver_floor or 0)
    for gpu in query(host, "index", "driver_version"):
        branch = int(gpu["driver_version"].partition(".")[0])
        # A driver that the host's image brings may be of a later branch than the wanted one.
        later = brought_by_the_image(settings) and branch >= settings.driver_branch
        assert (branch == settings.driver_branch or later) and branch >= lowest, (
            f"GPU {gpu['index']} runs driver {gpu['driver_version']}; expected branch "
            f"{settings.driver_branch}, and at least {lowest}. Deploy again; it reboots if it must"
        )


def test_the_driver_in_memory_is_the_installed_one(
    host: Host, driver_packages: list[Package]
) -> None:
    """A library that is newer than the module in memory ends every new process that uses a card."""
    (loaded,) = {gpu["driver_version"] for gpu in query(host, "driver_version")}
    others = {each.name: each.version for each in driver_packages if each.upstream != loaded}
    assert not others, (
        f"in memory is {loaded}, installed are {others}; expected one version throughout. Deploy "
        "again; it reboots if it must"
    )


def test_the_drivers_files_are_those_of_its_packages(
    host: Host, before: ReadBefore, driver_packages: list[Package]
) -> None:
    """A swapped library computes something else, or nothing, and apt would never know."""
    names = [each.name for each in driver_packages]
    changed = packages.changed_files(host, before, names)
    assert not changed, (
        f"files of the driver are not as their packages brought them:\n{changed}\n"
        f"Find out who changed them, then `apt-get install --reinstall` their packages"
    )


def test_programs_load_the_drivers_own_library(host: Host, driver_packages: list[Package]) -> None:
    """Another libcuda earlier in the linker's path is what the engine gets, without a word."""
    listed = host.check_output("ldconfig -p")
    paths = [line.split(" => ")[1] for line in listed.splitlines() if "\tlibcuda.so.1 " in line]
    assert paths, "the linker knows no libcuda.so.1; expected the package libcuda1's. Run ldconfig"
    path = paths[0]
    real = host.check_output(f"realpath {shlex.quote(path)}")
    versions = {each.upstream for each in driver_packages}
    names = {each.name for each in driver_packages}
    assert packages.owner(host, path) in names and real.partition(".so.")[2] in versions, (
        f"the linker's first libcuda.so.1 is {path}, in truth {real}; expected a file of the "
        f"driver's packages, {', '.join(versions)}. Remove it or the line in /etc/ld.so.conf.d "
        "that puts it first, and run ldconfig"
    )


def test_nothing_is_loaded_into_every_program(host: Host) -> None:
    """A library that is loaded before all others can change what any of them computes."""
    preload = host.file("/etc/ld.so.preload")
    found = preload.content_string.strip() if preload.exists else ""
    assert not found, f"/etc/ld.so.preload names {found}; expected no such file. Remove it"


def test_nothing_keeps_the_driver_from_being_loaded(host: Host) -> None:
    """A line in modprobe.d changes nothing until the next boot, which has no cards then."""
    wanted = ("nvidia", "nvidia_current", "nvidia_uvm", "nvidia_current_uvm")
    refused = []
    # As modprobe has merged its files and the kernel's command line.
    for line in host.check_output("modprobe --showconfig").splitlines():
        verb, _, rest = line.partition(" ")
        name, _, command = rest.partition(" ")
        # A distribution may have `nvidia` loaded under another name, by modprobe again.
        if name.replace("-", "_") in wanted and (
            verb == "blacklist" or (verb == "install" and "modprobe" not in command)
        ):
            refused.append(line)
    assert not refused, (
        f"modprobe is told `{'`, `'.join(refused)}`; expected nothing that keeps the driver out. "
        "Look with `grep -r nvidia /etc/modprobe.d`, and at the kernel's command line"
    )


def test_nvidia_smi_is_the_drivers_own(host: Host) -> None:
    """Whatever another program of that name shows or sets is not what the driver does."""
    path = host.run("bash -lc 'command -v nvidia-smi'").stdout.strip() or "missing"
    owner = packages.owner(host, path)
    assert owner, f"nvidia-smi is {path}, which is of no package; expected nvidia-smi's. Remove it"


def test_the_box_has_the_cards_it_should_have(host: Host, settings: Settings) -> None:
    """A card that fell off the bus leaves the model without the memory it was planned for."""
    names = [gpu["name"] for gpu in query(host, "name")]
    wrong = sorted({name for name in names if name != settings.gpu_model})
    assert not wrong, f"found {', '.join(wrong)}; expected only {settings.gpu_model}"
    expected = settings.gpu_count
    assert expected in (None, len(names)), (
        f"{len(names)} cards answer; expected {expected}. Look for the missing one with "
        "`lspci -d 10de:` and `dmesg | grep -i xid`"
    )


def test_every_card_on_the_bus_answers(host: Host) -> None:
    """A card that the bus has and the driver has not lost its power, or its mind."""
    script = (
        "for d in /sys/bus/pci/devices/*; do "
        'case "$(cat $d/vendor) $(cat $d/class)" in "0x10de 0x0300"*|"0x10de 0x0302"*) '
        "echo ${d##*/};; esac; done"
    )
    on_the_bus = host.check_output(script).split()
    answering = {gpu["pci.bus_id"][-12:].lower() for gpu in query(host, "pci.bus_id")}
    silent = [each for each in on_the_bus if each not in answering]
    assert not silent, (
        f"the cards at {', '.join(silent)} do not answer the driver; expected all "
        f"{len(on_the_bus)}. Look at `dmesg | grep -i xid`; check their power cables; reboot"
    )


def test_an_upgrade_leaves_the_driver_alone(
    host: Host, settings: Settings, driver_packages: list[Package]
) -> None:
    """An upgrade swaps the library under the loaded module, and nothing starts again."""
    if brought_by_the_image(settings):
        pytest.skip("the driver is the image's, and held by whoever made that")
    loaded = [each for each in driver_packages if each.name not in NOT_BESIDE_THE_MODULE]
    taken = packages.taken_by_an_upgrade(host, loaded)
    assert not taken, (
        f"a newer revision of {', '.join(taken)} would be taken by `apt-get dist-upgrade`; "
        "expected it to be held or pinned. Deploy again, or `apt-mark hold` it"
    )


def test_unattended_upgrades_leave_the_driver_alone(
    host: Host, settings: Settings, driver_packages: list[Package]
) -> None:
    """At four in the morning nobody is there to reboot into the new module."""
    if brought_by_the_image(settings):
        pytest.skip("the driver is the image's, and held by whoever made that")
    loaded = [each for each in driver_packages if each.name not in NOT_BESIDE_THE_MODULE]
    taken = packages.taken_unattended(host, loaded)
    assert not taken, (
        f"unattended-upgrades may replace {', '.join(taken)}; expected each to be held, or on "
        "Unattended-Upgrade::Package-Blacklist. Deploy again"
    )


def test_the_kernel_that_boots_next_has_the_drivers_module(
    host: Host, driver_packages: list[Package]
) -> None:
    """A kernel without the module comes up without cards, at the next reboot at the latest."""
    kernel = host.check_output("ls /boot/vmlinuz-* | sort -V | tail -n 1 | sed 's/.*vmlinuz-//'")
    modules = host.check_output(
        f"find /lib/modules/{kernel} -name 'nvidia.ko*' -o -name 'nvidia-current.ko*'"
    ).split()
    assert modules, (
        f"kernel {kernel} boots next and has no NVIDIA module. Look at `dkms status`; install "
        f"linux-headers-{kernel} and run `dkms autoinstall`, or deploy again"
    )
    # DKMS says the version in a link's name and keeps what it built; modinfo would unpack 60 MB.
    links = f"/var/lib/dkms/nvidia*/kernel-{kernel}-*"
    built = host.run(f"readlink {links}").stdout.split()
    wanted = {each.upstream for each in driver_packages}
    if not built:
        found = {host.check_output(f"modinfo -F version {each}") for each in modules}
    else:
        found = {each.partition("/")[0] for each in built}
        for module in modules:
            name = module.rpartition("/")[2]
            same = host.run(f"cmp {links}/module/{name} {module}")
            assert same.rc == 0, (
                f"{module} is not what DKMS built ({(same.stdout + same.stderr).strip()}). Run "
                f"`dkms install --force` for the driver, or deploy again"
            )
    assert found <= wanted, (
        f"kernel {kernel} boots next with the module of {', '.join(found)}; expected "
        f"{', '.join(wanted)}. Run `dkms autoinstall`, or deploy again"
    )


def test_the_kernel_that_boots_next_will_be_followed(host: Host) -> None:
    """A kernel that comes without its headers gets no module, and boots without cards."""
    kernel = host.check_output("ls /boot/vmlinuz-* | sort -V | tail -n 1 | sed 's/.*vmlinuz-//'")
    headers = host.run(f"test -e /lib/modules/{kernel}/build/Makefile")
    assert headers.rc == 0, (
        f"kernel {kernel} has no headers to build a module with; expected linux-headers-{kernel}. "
        "Deploy again"
    )


def test_nouveau_stays_away_from_the_cards(host: Host, settings: Settings) -> None:
    """The kernel's own driver, once it has a card, keeps NVIDIA's from loading."""
    wrong = []
    if host.run("grep '^nouveau ' /proc/modules; ls -d /sys/module/nouveau").stdout:
        wrong.append("nouveau is loaded; expected it to be blacklisted. Reboot the host")
    shown = host.check_output("modprobe --showconfig | grep nouveau || true").splitlines()
    kept_away = "blacklist nouveau" in shown or any(
        line.startswith("install nouveau ") and line.endswith(("/false", "/true")) for line in shown
    )
    if not kept_away:
        wrong.append(
            "modprobe's configuration does not blacklist nouveau, which takes the cards at the "
            "next boot; expected `blacklist nouveau`. Deploy again"
        )
    # Debian's own line goes with a change of its alternatives; this one stays, and also holds where
    # somebody loads nouveau by name.
    passive = "options nouveau modeset=0" in shown or "blacklist nouveau" not in shown
    if not passive and not brought_by_the_image(settings):
        wrong.append(
            "nouveau, once loaded by name, takes the cards: modprobe's configuration has no "
            "`options nouveau modeset=0`; expected /etc/modprobe.d/fortyninety-nouveau.conf. "
            "Deploy again"
        )
    forced = host.run("grep -lrx nouveau /etc/modules /etc/modules-load.d /run/modules-load.d")
    if forced.stdout:
        wrong.append(
            f"{' and '.join(forced.stdout.split())} loads nouveau at boot; expected nobody to. "
            "Remove the line"
        )
    assert not wrong, "\n".join(wrong)


def test_no_card_reported_an_error(host: Host) -> None:
    """A card with an Xid in the kernel's log computed something wrong, or stopped."""
    log = host.run("journalctl --dmesg --quiet --no-pager --output=cat --grep='NVRM: Xid'").stdout
    lines = log.splitlines()
    assert not lines, (
        f"{len(lines)} Xid errors since boot, the last: {lines[-1]}; expected none. Look the "
        "number up in NVIDIA's list of Xid errors; check the card's power and cooling"
    )


def test_no_card_is_held_back_while_it_has_nothing_to_do(host: Host) -> None:
    """A card that is braked at rest by heat or by its power supply is slow under load."""
    for gpu in query(host, "index", "clocks_throttle_reasons.active"):
        shown = gpu["clocks_throttle_reasons.active"]
        if not shown.startswith("0x"):
            continue  # "[N/A]": a card that does not say.
        reasons = int(shown, 16) & ~HARMLESS_REASONS
        assert reasons == 0, (
            f"GPU {gpu['index']} is held back by reason {reasons:#x} at rest; expected none. "
            "`nvidia-smi -q -d PERFORMANCE` names it; check cooling and power cables"
        )


def test_no_card_is_too_hot(host: Host) -> None:
    """Above 83 degrees Celsius an RTX 4090 slows itself down."""
    for gpu in query(host, "index", "temperature.gpu"):
        assert int(gpu["temperature.gpu"]) < 83, (
            f"GPU {gpu['index']} has {gpu['temperature.gpu']} degrees Celsius; expected less than "
            "83. Look at its fans and the air around it, or lower power_limit"
        )


def test_nobody_else_uses_the_cards(host: Host, process: LiveProcess) -> None:
    """Memory that another process takes is missing at the engine's next start."""
    asked = host.run("nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv,noheader")
    strangers = [
        line
        for line in asked.stdout.splitlines()
        # Process 0 is what a driver says that cannot tell.
        if line[:1].isdigit() and int(line.partition(",")[0]) not in (0, *process.pids)
    ]
    assert not strangers, (
        f"{'; '.join(strangers)} use the cards as well; expected the engine alone. End them"
    )


def test_the_cards_let_the_engine_in(host: Host) -> None:
    """A card in another compute mode refuses the engine's processes at its next start."""
    for gpu in query(host, "index", "compute_mode"):
        assert gpu["compute_mode"] == "Default", (
            f"GPU {gpu['index']} has compute mode {gpu['compute_mode']}; expected Default. Run "
            "`nvidia-smi --compute-mode=DEFAULT`, and find who sets another"
        )


@pytest.mark.real_card
def test_the_engine_holds_the_memory_it_was_given(host: Host, settings: Settings) -> None:
    """Less than its share means a smaller KV cache; all of it means the next request fails."""
    for gpu in query(host, "index", "memory.used", "memory.total"):
        used, total = int(gpu["memory.used"]), int(gpu["memory.total"])
        # Its budget and the CUDA context outside of it, less a tenth (docs/fit.md).
        lowest = 0.9 * settings.gpu_memory_utilization * total
        assert lowest <= used < total - 64, (
            f"GPU {gpu['index']} has {used} of {total} MiB in use; expected at least "
            f"{lowest:.0f} and 64 free. Look at `nvidia-smi` and `journalctl -u vllm.service`"
        )
