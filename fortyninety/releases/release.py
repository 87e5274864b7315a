"""Read an engine release's card, `engines/<release>/engine.yaml`, one pinned vLLM release."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from fortyninety.checkout import ROOT

ENGINES_DIRECTORY = ROOT / "engines"


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


class Parser(BaseModel):
    """Where the release keeps the parser of its command line.

    `module` has `make_arg_parser` and `validate_parsed_serve_args`; `class_` (`class` in the card)
    is the parser that the former fills.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: str
    class_: str = Field(alias="class")


class AttentionBackendChoice(BaseModel):
    """How the release is told its attention backend on sm_89: by a flag or by a variable.

    `for_fp8_kv_cache` is what an fp8 KV cache is served with unless the settings say otherwise, or
    None for the release's own choice; `names` are those that the release has for these cards.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flag: str | None
    environment: str | None
    for_fp8_kv_cache: str | None
    names: tuple[str, ...]


class ProcessorNeeds(BaseModel):
    """Flags of /proc/cpuinfo that a CPU build's kernels need.

    `always` is for any start, `quantization` for matrices stored by a method ("awq", "gptq"), and
    `fp8_kv_cache` for a KV cache of 8-bit floats.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    always: tuple[str, ...]
    quantization: dict[str, tuple[str, ...]]
    fp8_kv_cache: tuple[str, ...]


class WithoutPeerToPeer(BaseModel):
    """What tensor parallelism needs on cards that cannot read each other's memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)


class MultiNode(BaseModel):
    """How the release serves one model from several hosts, by its own pipeline parallel.

    `flags` are its spellings; `headless_entry` is the entry of the hosts that do not serve, where
    that is another one, and `extra_arguments` stand in place of the card's own, where they do.
    `address_variable` takes the host's own address, `interface_variables` the name of its
    interface.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    headless_entry: tuple[str, ...] | None
    flags: dict[str, str]
    extra_arguments: tuple[str, ...] | None
    address_variable: str
    interface_variables: tuple[str, ...]


class CacheSalt(BaseModel):
    """How the release keeps requests of different salts from sharing the prefix cache.

    `flag` takes the import path of an ASGI class that stands before its API, and `paths` are those
    whose requests have a field `cache_salt`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flag: str
    paths: tuple[str, ...]


class Release(BaseModel):
    """What differs between vLLM releases, as data. Read with `load_release`."""

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
    parser: Parser
    model_argument: str
    extra_arguments: tuple[str, ...]
    listens_where_told: bool
    # Paths of its API that somebody with a key may ask, by which method: a gateway passes no other.
    api_paths: dict[str, Literal["GET", "POST"]]
    # None: all requests share it.
    cache_salt: CacheSalt | None = None
    host_packages: tuple[str, ...]
    processor: ProcessorNeeds | None = None
    flags: dict[str, str | None]
    # Flags for a setting that is False, of what the release does unless it is told not to.
    switched_off: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[str, str]]
    attention_backend: AttentionBackendChoice
    multi_node: MultiNode | None
    environment: dict[str, str]
    without_peer_to_peer: WithoutPeerToPeer = WithoutPeerToPeer()
    log_lines: dict[str, Any]
    metrics: dict[str, Metric]
    drains_on_sigterm: bool
    # What a start on a GPU imports: tried after each build, on a host that need not have one.
    gpu_modules: tuple[str, ...] = ()
    advisories: tuple[Advisory, ...]
    sources: dict[str, str]

    @property
    def lock_path(self) -> Path:
        """The fully hashed requirements of the release."""
        return ENGINES_DIRECTORY / self.release / "requirements.txt"

    @property
    def left_out(self) -> tuple[str, ...]:
        """Packages that others of the lock name and that are left out on purpose."""
        overrides = ENGINES_DIRECTORY / self.release / "overrides.txt"
        if not overrides.exists():
            return ()
        lines = (line.partition("#")[0].strip() for line in overrides.read_text().splitlines())
        return tuple(line.partition(";")[0].strip() for line in lines if "never" in line)

    @property
    def environment_name(self) -> str:
        """The name of the environment's folder on a host: the release and its lock's hash."""
        return f"{self.release}-{lock_hash(self.lock_path)}"


def lacking(flags: frozenset[str], needed: Iterable[str]) -> list[str]:
    """The flags of /proc/cpuinfo that are needed and not among `flags`, in the order given."""
    return [flag for flag in needed if flag not in flags]


def lock_hash(path: Path) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a lock file, enough to name it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def known_releases() -> list[str]:
    """Every release that has a card, the oldest first."""
    names = (path.parent.name for path in ENGINES_DIRECTORY.glob("*/engine.yaml"))
    return sorted(names, key=lambda name: ([int(each) for each in re.findall(r"\d+", name)], name))


@cache
def load_release(name: str) -> Release:
    """The release `name`, of its card.

    Raises FileNotFoundError where there is none, pydantic.ValidationError where it is malformed.
    """
    path = ENGINES_DIRECTORY / name / "engine.yaml"
    release = Release.model_validate(yaml.safe_load(path.read_text()))
    if release.release != name:
        raise ValueError(f"{path} says it is the card of {release.release}")
    return release


def driver_floor(release: str) -> int:
    """The least driver branch that `release` runs on; 0 where it needs none or is not known."""
    if release not in known_releases():
        return 0
    return load_release(release).driver_floor or 0
