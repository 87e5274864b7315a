"""The power cap."""

from testinfra.host import Host

from fortyninety.settings import Settings
from tests.host.gpu_query import query


def test_every_card_is_capped(host: Host, settings: Settings) -> None:
    """Without its cap a card draws what its board allows, and a shared circuit breaker trips."""
    limit = settings.power_limit
    for gpu in query(host, "index", "power.limit", "uuid", "pci.bus_id"):
        if isinstance(limit, int):
            cap: int | None = limit
        else:
            # Keys may write the PCI domain with four digits, nvidia-smi writes eight.
            caps = {key.lower()[-12:] if ":" in key else key: cap for key, cap in limit.items()}
            cap = caps.get(gpu["uuid"], caps.get(gpu["pci.bus_id"].lower()[-12:]))
        assert float(gpu["power.limit"]) == cap, (
            f"GPU {gpu['index']} is capped at {gpu['power.limit']} W; expected "
            f"{cap} W. Run `systemctl restart fortyninety-power-limit`"
        )


def test_the_cap_comes_back_at_boot(host: Host) -> None:
    """A card forgets its cap at every boot: somebody has to set it again, unasked."""
    unit = host.service("fortyninety-power-limit.service")
    assert unit.is_enabled, "the unit that sets the cap is not enabled. Deploy again"
    assert unit.is_running, (
        "the unit that sets the cap failed. Look at `journalctl -u fortyninety-power-limit`"
    )
