"""An engine's card: what `engines/<release>/engine.yaml` says of one pinned vLLM release."""

from __future__ import annotations

import hashlib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

ENGINES_DIRECTORY = Path(__file__).resolve().parent.parent / "engines"


class Metric(BaseModel):
    """A metric of the release: its name, its unit, and the range its values lie in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: str
    range: tuple[float, float] | None = None


class Advisory(BaseModel):
    """A published vulnerability of the release, and the first release without it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    summary: str
    fixed_in: str | None


class EngineCard(BaseModel):
    """What differs between vLLM releases, as data. Read with `load_engine_card`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    release: str
    version: str
    distribution: str
    python: str
    locked_on: date
    cuda: str | None
    device: Literal["cpu", "cuda"]
    driver_floor: int | None
    entry: tuple[str, ...]
    model_argument: str
    extra_arguments: tuple[str, ...]
    host_packages: tuple[str, ...]
    flags: dict[str, str | None]
    values: dict[str, dict[str, str]]
    environment: dict[str, str]
    log_lines: dict[str, Any]
    metrics: dict[str, Metric]
    drains_on_sigterm: bool
    advisories: tuple[Advisory, ...]
    sources: dict[str, str]

    @property
    def lock_path(self) -> Path:
        """The fully hashed requirements of the release."""
        return ENGINES_DIRECTORY / self.release / "requirements.txt"

    @property
    def environment_name(self) -> str:
        """The name of the environment's folder on a host: the release and its lock's hash."""
        return f"{self.release}-{lock_hash(self.lock_path)}"


def lock_hash(path: Path) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a lock file, enough to name it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def known_releases() -> list[str]:
    """Every release that has a card, sorted by name."""
    return sorted(path.parent.name for path in ENGINES_DIRECTORY.glob("*/engine.yaml"))


@cache
def load_engine_card(release: str) -> EngineCard:
    """The card of `release`.

    Raises FileNotFoundError where there is none, pydantic.ValidationError where it is malformed.
    """
    path = ENGINES_DIRECTORY / release / "engine.yaml"
    card = EngineCard.model_validate(yaml.safe_load(path.read_text()))
    if card.release != release:
        raise ValueError(f"{path} says it is the card of {card.release}")
    return card
