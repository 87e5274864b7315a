"""The power cap, now and at the next boot."""

from __future__ import annotations

import re
from typing import Any

from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.gpu_query import query

POWER_UNIT = "fortyninety-power-limit.service"
PERSISTENCE_UNIT = "nvidia-persistenced.service"

# A card's draw is measured over some milliseconds, in which it may exceed its cap a little.
OVERSHOOT = 1.05


def wanted_cap(settings: Settings, gpu: dict[str, str]) -> int:
    """The cap of a card in W, where the settings may have one for all or one for each."""
    limit: Any = settings.power_limit
    if isinstance(limit, int):
        return limit
    # By UUID or by PCI address, whose domain has four digits for the kernel and eight for NVML.
    address = gpu["pci.bus_id"].lower()
    own = {gpu["uuid"].lower(), address, address[-12:]}
    return int(next((watts for name, watts in limit.items() if name.lower() in own), 0))


def test_every_card_is_capped(host: Host, settings: Settings) -> None:
    """Without its cap a card draws what its board allows, and a shared circuit breaker trips."""
    for gpu in query(host, "index", "uuid", "pci.bus_id", "power.limit"):
        wanted = wanted_cap(settings, gpu)
        assert float(gpu["power.limit"]) == wanted, (
            f"GPU {gpu['index']} is capped at {gpu['power.limit']} W; expected {wanted} W. Run "
            "`systemctl restart fortyninety-power-limit`, or deploy again"
        )


def test_no_card_draws_more_than_its_cap(host: Host, settings: Settings) -> None:
    """A cap that the card does not keep to protects nothing."""
    for gpu in query(host, "index", "uuid", "pci.bus_id", "power.draw"):
        if not gpu["power.draw"][:1].isdigit():
            continue  # "[N/A]": a card that does not say.
        wanted = wanted_cap(settings, gpu)
        assert float(gpu["power.draw"]) <= wanted * OVERSHOOT, (
            f"GPU {gpu['index']} draws {gpu['power.draw']} W; expected at most {wanted} W. Look at "
            "`nvidia-smi -q -d POWER`"
        )


def test_the_cap_comes_back_at_boot(host: Host, settings: Settings) -> None:
    """A card forgets its cap at every boot: somebody has to set it again, unasked."""
    unit = host.service(POWER_UNIT).systemd_properties
    assert unit.get("UnitFileState", "") == "enabled", (
        f"{POWER_UNIT}, which sets the cap at boot, is {unit.get('UnitFileState') or 'missing'}; "
        "expected enabled. Deploy again"
    )
    assert unit["ActiveState"] == "active", (
        f"{POWER_UNIT}, which sets the cap, is {unit['ActiveState']}; expected active. Look at "
        f"`journalctl -u {POWER_UNIT}`"
    )
    assert unit["NeedDaemonReload"] == "no", (
        f"{POWER_UNIT} changed on disk since systemd read it: the next boot may set another cap. "
        "Deploy again"
    )


def test_the_cap_that_comes_back_is_the_wanted_one(host: Host, settings: Settings) -> None:
    """A unit with another cap in it shows at the next boot, when nobody looks."""
    started = host.check_output(
        f"systemctl show --property=ExecStart --property=ExecStartPost {POWER_UNIT}"
    )
    set_at_boot = {int(each) for each in re.findall(r"(?:--power-limit[= ]|-pl )(\d+)", started)}
    cards = query(host, "index", "uuid", "pci.bus_id")
    wanted = {wanted_cap(settings, gpu) for gpu in cards}
    assert not set_at_boot or set_at_boot == wanted, (
        f"{POWER_UNIT} sets {sorted(set_at_boot)} W at boot; expected {sorted(wanted)} W. Deploy "
        "again"
    )
    assert set_at_boot or "/opt/" in started or "fortyninety" in started.partition("=")[2], (
        f"{POWER_UNIT} sets no cap at all: it runs {started.strip()}. Deploy again"
    )


def test_nobody_else_sets_a_cap(host: Host) -> None:
    """Of two who set a cap at boot the last one wins, and it is not always the same one."""
    found = host.run(
        "grep -REls --exclude-dir=fortyninety-power-limit.service.d "
        r"'nvidia-smi.*(-pl|--power-limit)' /etc/systemd/system /run/systemd/system "
        "/usr/local/lib/systemd /usr/lib/systemd/system /etc/cron* /var/spool/cron /etc/rc.local "
        "/etc/udev/rules.d /etc/init.d"
    ).stdout.split()
    others = sorted(path for path in found if path.rpartition("/")[2] != POWER_UNIT)
    assert not others, (
        f"{', '.join(others)} sets a power limit too; expected {POWER_UNIT} alone. Remove it, and "
        "put the cap into power_limit in group_data/"
    )


def test_the_driver_stays_loaded_between_uses(host: Host) -> None:
    """Without persistence a card forgets its cap as soon as nobody uses it."""
    for gpu in query(host, "index", "persistence_mode"):
        assert gpu["persistence_mode"] == "Enabled", (
            f"GPU {gpu['index']} has persistence mode {gpu['persistence_mode']}; expected Enabled. "
            f"Run `systemctl restart {PERSISTENCE_UNIT} {POWER_UNIT}`"
        )


def test_the_persistence_daemon_runs_and_starts_at_boot(host: Host) -> None:
    """Persistence that somebody set by hand is gone at the next boot."""
    unit = host.service(PERSISTENCE_UNIT).systemd_properties
    assert unit["ActiveState"] == "active", (
        f"{PERSISTENCE_UNIT} is {unit['ActiveState']}; expected active. Look at `journalctl -u "
        f"{PERSISTENCE_UNIT}`"
    )
    started = host.check_output(f"systemctl show --property=ExecStart --value {PERSISTENCE_UNIT}")
    assert "/nvidia-persistenced" in started and unit["NeedDaemonReload"] == "no", (
        f"{PERSISTENCE_UNIT} would start {started or 'nothing'}"
        f"{'' if unit['NeedDaemonReload'] == 'no' else ', and changed since systemd read it'}; "
        f"expected nvidia-persistenced. Look at `systemctl cat {PERSISTENCE_UNIT}` for a drop-in"
    )
    assert unit.get("UnitFileState", "") in ("enabled", "static"), (
        f"{PERSISTENCE_UNIT} is {unit.get('UnitFileState', 'missing')}; expected enabled. "
        "Deploy again"
    )
