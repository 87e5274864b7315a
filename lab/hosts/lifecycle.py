"""Bring the lab's hosts up, take them down, keep one for later."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from lab import cgroups, lock, paths, preflight
from lab.errors import LabError
from lab.gpu import cards
from lab.hosts import layout, power, saved_hosts, ssh
from lab.hosts.host import LabHost, hosts
from lab.hosts.layers import layers_of
from lab.hub import hub_process
from lab.network import bridge
from lab.progress import note, step
from lab.sources import apt_cache, python_index
from lab.tiny_model.choice import choose

DEFAULT_CARDS = "2x24564"


def up(
    count: int = 1,
    *,
    cards: str | Sequence[str] = DEFAULT_CARDS,
    release: str | None = None,
    saved: str | None = None,
    model: str | None = None,
) -> list[LabHost]:
    """Make sure lab1 to labCOUNT exist and run; return them when their boots are complete.

    CARDS is one spec for every host or one a host (see lab.gpu.cards.parse). Hosts that are there
    already stay as they are. SAVED names a saved host to start from. RELEASE is a Debian codename.
    MODEL names the tiny model that the hosts are to serve from their next deploy on; without it,
    new hosts take a saved host's own, or the one that this machine's processor has the kernels for.
    """
    preflight.check()
    asked = choose(model) if model is not None or saved is None else None
    specs = _card_specs(cards, count)
    with lock.exclusive():
        bridge.refuse_another_lab()
        layout.remove_half_made()
        existing = {host.index: host for host in hosts()}
        _services_up()
        new = [index for index in range(1, count + 1) if index not in existing]
        if new:
            python_index.ensure_wheels()
            layers = layers_of(release, saved)
            choice = asked or layers.choice or choose(None)
            for index in new:
                existing[index] = layout.make(index, specs[index - 1], layers, choice)
            note(f"{', '.join(map(paths.host_name, new))}: to serve {choice}")
        layout.write_known_hosts()
        wanted = [existing[index] for index in range(1, count + 1)]
        if model is not None and asked is not None:
            wanted = [layout.to_serve(host, asked) for host in wanted]
        power.start([host.power for host in wanted])
    return wanted


def down(names: Sequence[str] = ()) -> None:
    """Remove the named hosts, or the whole lab: processes, links, rules, disks.

    Works on whatever an interrupted command left, and when there is nothing.
    """
    with lock.exclusive():
        if names:
            for host in [LabHost.read(name) for name in names]:
                layout.remove(host.name)
            layout.write_known_hosts()
            return
        bridge.refuse_another_lab()
        for group in cgroups.names():
            cgroups.kill(group)
        cgroups.remove_parent()
        bridge.down()
        if paths.state_directory().exists():
            shutil.rmtree(paths.state_directory())


def save(name: str, saved_name: str, *, remove: bool = False) -> None:
    """Keep the host's disk as it is now under SAVED_NAME, for `up(saved=SAVED_NAME)`.

    The host is shut down for the copy, so that what is kept is whole, and started again if it ran.
    With REMOVE the host is gone afterwards and its disk is moved: no wait for a copy of gigabytes.
    """
    with lock.exclusive():
        host = LabHost.read(name)
        was_running = host.running
        if was_running:
            with step(f"stopping {name}"):
                host.power.shut_down()
        with step(f"saving {name} as {saved_name}"):
            upper = host.directory / "upper"
            saved_hosts.save(saved_name, upper, host.image, host.saved, host.model, move=remove)
        if remove:
            layout.remove(name)
            layout.write_known_hosts()
        elif was_running:
            power.start([host.power])


def _services_up() -> None:
    """Bring up what hosts need: network, package cache, hub, keys."""
    bridge.up()
    ssh.ensure_key()
    apt_cache.up()
    hub_process.up()


def _card_specs(specs: str | Sequence[str], count: int) -> list[str]:
    if not 1 <= count <= paths.MAXIMUM_HOSTS:
        raise LabError(f"asked for {count} hosts; a lab has 1 to {paths.MAXIMUM_HOSTS}")
    listed = [specs] if isinstance(specs, str) else list(specs)
    if len(listed) == 1:
        listed *= count
    if len(listed) != count:
        raise LabError(
            f"{len(listed)} card specs for {count} hosts: give one for all of them or one each"
        )
    for index, spec in enumerate(listed, start=1):
        cards.parse(spec, paths.host_name(index))
    return listed
