"""What keeps the driver as it is: apt and unattended upgrades are asked, not their files read."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.gpu_query import query
from tests.host.packages import SimulatedUpgrade

# Above it apt keeps to a version whatever else is newer (apt_preferences(5)).
PREFERRED_EVEN_AS_A_DOWNGRADE = 1000


@pytest.fixture(scope="session")
def driver_packages(host: Host, settings: Settings) -> list[str]:
    """Every package with the version of the driver in memory, libraries and firmware included."""
    if settings.driver_source == "present":
        pytest.skip("the driver came with the host's image, and is not held by a deploy")
    loaded = query(host, "driver_version")[0]["driver_version"]
    known = host.check_output(
        "dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n' | "
        f"sed -n 's/^installed \\([^ ]*\\) {re.escape(loaded)}-.*/\\1/p'"
    )
    packages = known.split()
    assert packages, (
        f"no package is of driver {loaded}, which is in memory; expected its own. Deploy again"
    )
    return packages


@pytest.fixture(scope="session")
def held(host: Host) -> list[str]:
    """Every package that is held."""
    return str(host.check_output("apt-mark showhold")).split()


def test_every_package_of_the_driver_is_held(held: list[str], driver_packages: list[str]) -> None:
    """A background upgrade swaps the library under the loaded module, and nothing starts again."""
    loose = [name for name in driver_packages if name not in held]
    assert not loose, f"{', '.join(loose)}: not held; expected `apt-mark hold`. Deploy again"


def test_apt_itself_prefers_the_driver_that_is_installed(
    host: Host, driver_packages: list[str]
) -> None:
    """Holds are lifted by a command that somebody types; the pins then still stand."""
    shown = host.check_output(f"LC_ALL=C apt-cache policy {' '.join(driver_packages)}")
    for name, rest in re.findall(r"^(\S+):\n((?:[ *].*\n?)+)", f"{shown}\n", re.MULTILINE):
        found = dict(re.findall(r"^  (Installed|Candidate): (\S+)", rest, re.MULTILINE))
        assert found["Installed"] == found["Candidate"], (
            f"apt would take {name} to {found['Candidate']}; expected {found['Installed']}, which "
            "is installed. Look at `apt-cache policy` and /etc/apt/preferences.d; deploy again"
        )
        priority = re.search(r"^ \*\*\* \S+ (-?\d+)$", rest, re.MULTILINE)
        assert priority and int(priority[1]) > PREFERRED_EVEN_AS_A_DOWNGRADE, (
            f"apt gives {name} {found['Installed']} the priority {priority[1] if priority else '?'}"
            "; expected it pinned, above 1000. Look at /etc/apt/preferences.d; deploy again"
        )


def test_an_upgrade_of_everything_would_leave_the_driver_alone(
    simulated_upgrade: SimulatedUpgrade, driver_packages: list[str]
) -> None:
    """What the administrator types on a quiet morning must not end the service."""
    assert simulated_upgrade.rc == 0, (
        f"apt cannot simulate an upgrade: {simulated_upgrade.stderr.strip()[-400:]}; expected what "
        "it would change. Run `apt-get check`"
    )
    touched = set(re.findall(r"^(?:Inst|Remv) (\S+)", simulated_upgrade.stdout, re.MULTILINE))
    moved = sorted(touched & set(driver_packages))
    assert not moved, (
        f"`apt-get dist-upgrade` would change {', '.join(moved)}; expected no part of the driver"
    )


def test_unattended_upgrades_know_the_driver_by_name(
    host: Host, driver_packages: list[str]
) -> None:
    """They come at night; what they may take is in apt's configuration as apt has merged it."""
    shown = host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    expressions = re.findall(
        r'^Unattended-Upgrade::Package-Blacklist:: "(.*)";', shown, re.MULTILINE
    )
    for name in driver_packages:
        assert any(re.match(expression, name) for expression in expressions), (
            f"unattended upgrades may take {name}; expected it among their exceptions. Deploy again"
        )


def test_a_kernel_does_not_come_without_its_headers(held: list[str]) -> None:
    """Headers that are held while their kernel is not: the next kernel has no module."""
    alone = [
        name
        for name in held
        if name.startswith("linux-headers-") and name.replace("headers", "image", 1) not in held
    ]
    assert not alone, f"{', '.join(alone)}: held without the kernel; expected neither or both"
