"""Find the layers of a new host's disk: an image, and those of saved hosts above it."""

from __future__ import annotations

from dataclasses import dataclass

from lab.errors import LabError
from lab.hosts import image, saved_hosts
from lab.hosts.host import hosts
from lab.tiny_model.choice import ModelChoice, named

DEFAULT_RELEASE = "trixie"


@dataclass(frozen=True)
class Layers:
    """An image, the saved hosts above it, newest first, and the model of the newest."""

    release: str
    image: str
    saved: tuple[str, ...]
    choice: ModelChoice | None = None


def layers_of(release: str | None, saved: str | None) -> Layers:
    """Find the layers for a new host: a saved host's, or else the image of a release."""
    if saved is None:
        release = release or DEFAULT_RELEASE
        built = image.ensure(release).name
        image.remove_unused({host.image for host in hosts()} | saved_hosts.images_in_use())
        return Layers(release, built, ())
    found = saved_hosts.read(saved)
    found_release = found.image.partition("-")[0]
    if release not in (None, found_release):
        raise LabError(f"saved host {saved!r} is {found_release}; asked for was {release}")
    choice = ModelChoice(named(found.model), f"the saved host {saved} has it")
    return Layers(found_release, found.image, (saved, *found.saved), choice)
