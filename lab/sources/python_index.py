"""Give hosts the machine's own package index, and the wheels that the lab has ready."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from fortyninety.checkout import ROOT
from lab import paths
from lab.errors import LabError
from lab.sources.wheel_download import Source, ensure_wheel, pip, read_pin

# Inside a host: where the lab binds its folder of wheels, and Debian's own certificate bundle.
WHEELS_ON_HOST = "/var/lib/lab/wheels"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# PyTorch's build without CUDA is not on the general index, so hosts cannot fetch it by themselves.
# This one is named on PyTorch's own installation page.
_PYTORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# The environment variable that names another.
TORCH_INDEX = "FORTYNINETY_TORCH_INDEX"
_LOCK = ROOT / "engines/0.32.0-cpu/requirements.txt"
_HOST_PYTHON = "3.11"


def pip_configuration() -> str:
    """The hosts' /etc/pip.conf: the machine's indexes."""
    lines = ["[global]", f"cert = {_CERTIFICATES}"]
    settings = _machine_settings()
    lines += [f"{name} = {' '.join(values)}" for name, values in settings.items() if values]
    return "\n".join(lines) + "\n"


def uv_configuration() -> str:
    """The hosts' /etc/uv/uv.toml, saying the same to uv."""
    settings = _machine_settings()
    lines = [
        "system-certs = true",
        # The cache is bound from outside the host's disk, where hard links cannot reach.
        'link-mode = "copy"',
    ]
    if settings["index-url"]:
        lines.append(f'index-url = "{settings["index-url"][0]}"')
    if settings["extra-index-url"]:
        quoted = ", ".join(f'"{address}"' for address in settings["extra-index-url"])
        lines.append(f"extra-index-url = [{quoted}]")
    return "\n".join(lines) + "\n"


def wheels_directory() -> Path:
    """The folder that hosts see, read-only, at WHEELS_ON_HOST."""
    return paths.cache_directory() / "wheels"


def ensure_wheels() -> None:
    """Fetch PyTorch's CPU wheel, once: with this machine's pip, else from the second source."""
    ensure_wheel(
        read_pin(_LOCK, "torch"),
        _HOST_PYTHON,
        wheels_directory(),
        torch_sources,
        f"Set {TORCH_INDEX} to the address of a package index that has it, or put the wheel into a "
        "folder and set PIP_FIND_LINKS to that folder.",
    )


def torch_sources() -> list[Source]:
    """Where PyTorch's CPU wheel is asked for, in order; LabError where an address is none."""
    address = os.environ.get(TORCH_INDEX) or _PYTORCH_INDEX
    if not re.fullmatch(r"(https?|file)://\S+", address):
        raise LabError(
            f"{TORCH_INDEX} is {address!r}, expected the address of a package index that begins "
            f"with https://, http:// or file://, such as {_PYTORCH_INDEX}"
        )
    settings = _pip_settings(_pip_listing(), ("global", "download", ":env:"))
    without_pip = {name: value for name, value in os.environ.items() if name[:4] != "PIP_"}
    # The second source is asked alone: an index, a folder or a constraint of this machine's would
    # decide otherwise what is found. How this machine reaches the network stays.
    ways = {
        f"PIP_{name.upper().replace('-', '_')}": " ".join(settings[name])
        for name in ("cert", "client-cert", "proxy", "trusted-host")
        if settings.get(name)
    }
    return [
        Source("this machine's pip", dict(os.environ), places=_places(settings)),
        Source(
            _without_password(address),
            {**without_pip, "PIP_CONFIG_FILE": os.devnull, **ways},
            ("--index-url", address, "--timeout=10", "--retries=1"),
        ),
    ]


def parse_pip_configuration(listing: str) -> dict[str, list[str]]:
    """Read the indexes of `pip config list`, and of their addresses those a host can reach."""
    read = _pip_settings(listing, ("global", ":env:"))
    settings = {name: read.get(name, []) for name in ("index-url", "extra-index-url")}
    for name, addresses in settings.items():
        settings[name] = [word for word in addresses if word.startswith(("http://", "https://"))]
    return {**settings, "trusted-host": read.get("trusted-host", [])}


def _pip_settings(listing: str, sections: Sequence[str]) -> dict[str, list[str]]:
    """Read the words of every setting of `pip config list`; later `sections` win over earlier ones.

    The listing is in alphabetical order, which is not the order in which pip lets them win.
    """
    found: dict[str, dict[str, list[str]]] = {section: {} for section in sections}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name] = str(ast.literal_eval(value)).split()
    return {name: words for section in sections for name, words in found[section].items()}


def _places(settings: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Name this machine's own sources, as a person who set them up knows them."""
    names = ("index-url", "extra-index-url", "find-links")
    places = [_without_password(place) for name in names for place in settings.get(name, ())]
    return tuple(places) or ("its default index",)


def _without_password(address: str) -> str:
    return re.sub(r"://[^/@\s]+@", "://***@", address)


def _machine_settings() -> dict[str, list[str]]:
    settings = parse_pip_configuration(_pip_listing())
    uv_file = Path("/etc/uv/uv.toml")
    if uv_file.is_file():
        uv_settings = tomllib.loads(uv_file.read_text())
        for name in ("index-url", "extra-index-url"):
            given = uv_settings.get(name)
            if given:
                settings[name] = [given] if isinstance(given, str) else list(given)
    return settings


def _pip_listing() -> str:
    done = subprocess.run([*pip(), "config", "list"], text=True, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else ""
