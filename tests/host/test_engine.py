"""The engine's environment."""

from testinfra.host import Host

from fortyninety.engine_card import EngineCard
from tests.host.live_process import environment_directory


def test_the_engine_is_at_its_pinned_version(host: Host, card: EngineCard) -> None:
    """Flags, metrics and memory needs change between releases: another is not what was planned."""
    version = host.check_output(
        f"{environment_directory(host)}/bin/python -c "
        f"'import importlib.metadata; print(importlib.metadata.version(\"{card.distribution}\"))'"
    )
    assert version == card.version, (
        f"{card.distribution} is at {version}; expected {card.version}. Deploy again"
    )


def test_the_link_to_the_live_engine_names_what_runs(host: Host) -> None:
    """Whoever looks there, a person or a rollback, must find the environment that serves."""
    live = environment_directory(host)
    link = f"{live.rpartition('/')[0]}/current"
    target = host.file(link).linked_to
    assert target == live, f"{link} points to {target}; the process runs from {live}"
