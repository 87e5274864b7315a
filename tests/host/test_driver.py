"""The driver in memory, the cards it shows, and what keeps both as they are."""

from testinfra.host import Host

from fortyninety.settings import Settings
from tests.host.gpu_query import query


def test_the_driver_in_memory_is_of_the_wanted_branch(host: Host, settings: Settings) -> None:
    """Without it no card computes anything, whatever is installed on disk."""
    for gpu in query(host, "index", "driver_version"):
        branch = int(gpu["driver_version"].partition(".")[0])
        # A driver that the image brings may be of a later branch than the one that is needed.
        later = settings.driver_source == "present" and branch >= settings.driver_branch
        assert (branch == settings.driver_branch or later) and branch >= 550, (
            f"GPU {gpu['index']} runs driver {gpu['driver_version']}; expected branch "
            f"{settings.driver_branch}. Deploy again; it reboots if it must"
        )


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


def test_the_kernel_that_boots_next_has_the_drivers_module(host: Host) -> None:
    """A kernel without the module comes up without cards, at the next reboot at the latest."""
    kernel = host.check_output("ls /boot/vmlinuz-* | sort -V | tail -n 1 | sed 's/.*vmlinuz-//'")
    modules = host.check_output(f"find /lib/modules/{kernel} -name 'nvidia*.ko*' | sort")
    assert "/nvidia-current.ko" in modules or "/nvidia.ko" in modules, (
        f"kernel {kernel} boots next and has no NVIDIA module (found: {modules or 'none'}). "
        f"Look at `dkms status`; install linux-headers-{kernel} and run `dkms autoinstall`"
    )


def test_nouveau_stays_away_from_the_cards(host: Host) -> None:
    """The kernel's own driver, once it has a card, keeps NVIDIA's from loading."""
    assert not host.file("/sys/module/nouveau").exists, (
        "nouveau is loaded; expected it to be blacklisted. Reboot the host"
    )
    effective = host.run("modprobe --showconfig | grep -x 'blacklist nouveau'")
    assert effective.rc == 0, "modprobe's configuration does not blacklist nouveau: deploy again"
