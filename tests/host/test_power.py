"""The power cap."""

from testinfra.host import Host

from fortyninety.settings import Settings
from tests.host.gpu_query import query


def test_every_card_is_capped(host: Host, settings: Settings) -> None:
    """Without its cap a card draws what its board allows, and a shared circuit breaker trips."""
    for gpu in query(host, "index", "power.limit"):
        assert float(gpu["power.limit"]) == settings.power_limit, (
            f"GPU {gpu['index']} is capped at {gpu['power.limit']} W; expected "
            f"{settings.power_limit} W. Run `systemctl restart fortyninety-power-limit`"
        )


def test_the_cap_comes_back_at_boot(host: Host) -> None:
    """A card forgets its cap at every boot: somebody has to set it again, unasked."""
    unit = host.service("fortyninety-power-limit.service")
    assert unit.is_enabled, "the unit that sets the cap is not enabled. Deploy again"
    assert unit.is_running, (
        "the unit that sets the cap failed. Look at `journalctl -u fortyninety-power-limit`"
    )
