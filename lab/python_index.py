"""How hosts reach Python packages: as this machine does, plus wheels that the lab lays ready."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from lab import paths
from lab.commands import succeeds
from lab.errors import LabError
from lab.progress import step

# Inside a host: where the lab binds its folder of wheels, and Debian's own certificate bundle.
WHEELS_ON_HOST = "/var/lib/lab/wheels"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# PyTorch's build without CUDA is not on the general index, so hosts cannot fetch it by themselves.
TORCH = "torch==2.13.0+cpu"
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
    """Fetch PyTorch's CPU wheel through this machine's pip, once."""
    directory = wheels_directory()
    directory.mkdir(parents=True, exist_ok=True)
    version = TORCH.partition("==")[2]
    if list(directory.glob(f"torch-{version}-cp{_HOST_PYTHON.replace('.', '')}-*.whl")):
        return
    unfinished = directory.parent / "wheels.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [
        *_pip(),
        *("download", "--quiet", "--no-deps", "--only-binary=:all:"),
        f"--python-version={_HOST_PYTHON}",
        f"--dest={unfinished}",
        TORCH,
    ]
    with step(f"fetching {TORCH}"):
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise LabError(
                f"pip found no {TORCH} for Python {_HOST_PYTHON}, which serves the model on hosts "
                "without cards. Point pip at PyTorch's CPU wheel index (extra-index-url in "
                f"/etc/pip.conf) or at a folder that holds the wheel (find-links). "
                f"pip said: {done.stderr.strip()[-600:]}"
            )
        for wheel in unfinished.iterdir():
            wheel.rename(directory / wheel.name)
        unfinished.rmdir()


def parse_pip_configuration(listing: str) -> dict[str, list[str]]:
    """Read `pip config list`: later sources win, as in pip; addresses only a host can reach."""
    settings: dict[str, list[str]] = {"index-url": [], "extra-index-url": [], "trusted-host": []}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section not in ("global", ":env:") or name not in settings:
            continue
        words = str(ast.literal_eval(value)).split()
        if name.endswith("index-url"):
            words = [word for word in words if word.startswith(("http://", "https://"))]
        settings[name] = words
    return settings


def _machine_settings() -> dict[str, list[str]]:
    done = subprocess.run([*_pip(), "config", "list"], text=True, capture_output=True, check=False)
    settings = parse_pip_configuration(done.stdout if done.returncode == 0 else "")
    uv_file = Path("/etc/uv/uv.toml")
    if uv_file.is_file():
        uv_settings = tomllib.loads(uv_file.read_text())
        for name in ("index-url", "extra-index-url"):
            given = uv_settings.get(name)
            if given:
                settings[name] = [given] if isinstance(given, str) else list(given)
    return settings


def _pip() -> list[str]:
    """This interpreter's pip, or the one on PATH where an environment was made without."""
    own = [sys.executable, "-m", "pip"]
    return own if succeeds([*own, "--version"]) else ["pip3"]
