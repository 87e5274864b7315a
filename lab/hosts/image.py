"""The disk image hosts start from: built once, cached, built anew when what goes in changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from fortyninety.checkout import ROOT
from lab import cgroups, paths
from lab.commands import run
from lab.errors import LabError
from lab.gpu import nvml_library
from lab.last_line import last_line
from lab.progress import step
from lab.sources import apt_cache, apt_sources, python_index

RELEASES = ("trixie", "bookworm")

# The least a Debian server has, and ccache. Everything else is for the deploy to bring. Debian's
# installer brings zstd: without it every initramfs, which a driver rebuilds, takes longer.
_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "openssh-server",
    "sudo",
    "iproute2",
    "ca-certificates",
    "python3",
    "linux-image-cloud-amd64",
    "zstd",
    "ccache",
)
# Where the lab's shared folders are bound into a host.
_MOUNT_POINTS = (
    "var/lib/lab/wheels",
    "var/cache/lab/ccache",
    "root/.cache/uv",
    "root/.cache/pip",
)
# What kernel headers of the releases call their compiler.
_COMPILERS = (
    "gcc-12",
    "gcc-14",
    "x86_64-linux-gnu-gcc-12",
    "x86_64-linux-gnu-gcc-14",
)
_ROOTFS = ROOT / "lab/rootfs"
_HEADER_RELEASE = "trixie"
_CONTROL_GROUP = "image"
_KEPT_UNUSED_SECONDS = 7 * 24 * 3600.0


def ensure(release: str) -> Path:
    """Return the unpacked image for RELEASE, building it (about a minute) when there is none."""
    if release not in RELEASES:
        raise LabError(f"release {release!r} is not one of {', '.join(RELEASES)}")
    inputs = _inputs(release)
    image = images_directory() / f"{release}-{_digest(inputs)}"
    cgroups.kill(_CONTROL_GROUP)  # a build whose `lab up` was cut off
    for leftover in images_directory().glob(".building-*"):
        shutil.rmtree(leftover)
    if not image.exists():
        with step(f"building the {release} image", lambda: last_line(_log())):
            _build(release, image, inputs)
    os.utime(image)  # when it was last started from
    return image


def images_directory() -> Path:
    """Where images are kept, unpacked; for root alone, as they carry this machine's settings."""
    directory = paths.cache_directory() / "images"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def remove_unused(used: set[str]) -> None:
    """Remove images that were not started from for a week and that nothing in USED stands on.

    A week, because a host of a lab in another directory may stand on one that this lab forgot.
    """
    for image in images_directory().glob("[!.]*"):
        age = time.time() - image.stat().st_mtime
        if image.name not in used and age > _KEPT_UNUSED_SECONDS:
            shutil.rmtree(image)


def _inputs(release: str) -> dict[str, bytes]:
    """Everything that decides what an image holds, by the path it has in the image."""
    archives = apt_sources.machine_archives()
    inputs = {
        "etc/apt/sources.list.d/debian.sources": archives.deb822(release).encode(),
        "etc/apt/apt.conf.d/20lab-machine": _machine_apt_options().encode(),
        "etc/pip.conf": python_index.pip_configuration().encode(),
        "etc/uv/uv.toml": python_index.uv_configuration().encode(),
        "etc/resolv.conf": b"",  # every host gets its own
    }
    for source in (archives.debian, archives.security):
        keyring = Path(source.signed_by) if source and source.signed_by else None
        if keyring and keyring.name not in _debian_keyrings():
            inputs[str(keyring).lstrip("/")] = keyring.read_bytes()
    for certificate in sorted(Path("/usr/local/share/ca-certificates").rglob("*.crt")):
        inputs[str(certificate).lstrip("/")] = certificate.read_bytes()
    for file in _files(_ROOTFS):
        inputs[str(file.relative_to(_ROOTFS))] = file.read_bytes()
    return inputs


def _digest(inputs: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    recipe = {str(file): file.read_bytes() for file in (Path(__file__), *nvml_library.sources())}
    for name, content in sorted({**inputs, **recipe}.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def _build(release: str, image: Path, inputs: dict[str, bytes]) -> None:
    building = images_directory() / f".building-{image.name}"
    headers = images_directory() / f".building-headers-{image.name}"
    headers.mkdir()
    log = _log()
    archives = apt_sources.machine_archives()
    # The header of the management library comes from Debian's own package, fetched while apt
    # inside the image still has its lists; always from the release whose driver is branch 550.
    source = "etc/apt/sources.list.d/header.list"
    fetch_header = (
        f'echo "{archives.lines(_HEADER_RELEASE)[0]}" > "$1"/{source} && chroot "$1" sh -c '
        f'"apt-get -q update && cd /root && apt-get -q download libnvidia-ml-dev/{_HEADER_RELEASE}"'
        f' && mv "$1"/root/libnvidia-ml-dev_*.deb {headers}/ && rm "$1"/{source}'
    )
    status = cgroups.run_inside(
        _CONTROL_GROUP,
        [
            # Mounts that a build cut off midway would leave end with its namespace.
            *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
            "--mount-proc",
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            f"--include={','.join(_PACKAGES)}",
            f'--aptopt=Acquire::http::Proxy "{apt_cache.address()}"',
            *[f"--aptopt={option}" for option in _machine_apt_options().splitlines()],
            "--dpkgopt=force-unsafe-io",
            f"--customize-hook={fetch_header}",
            release,
            str(building),
            *archives.lines(release),
        ],
        log=log,
    )
    if status != 0:
        raise LabError(
            f"{last_line(log) or 'no output'} (mmdebstrap ended with {status} for {release}; "
            f"all of its output is in {log})"
        )
    _finish(building, inputs)
    nvml_library.build(headers, building / "usr/lib/lab")
    shutil.rmtree(headers)
    building.rename(image)


def _log() -> Path:
    return paths.state_directory() / "image.log"


def _finish(root: Path, inputs: dict[str, bytes]) -> None:
    """Put the lab's own files over a fresh installation and take out what must differ per host."""
    (root / "etc/apt/sources.list").unlink(missing_ok=True)
    for leftover in (root / "etc/apt/apt.conf.d/99mmdebstrap", root / "etc/resolv.conf"):
        leftover.unlink(missing_ok=True)
    for name, content in inputs.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        source = _ROOTFS / name
        target.chmod(0o755 if source.exists() and os.access(source, os.X_OK) else 0o644)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/lab").mkdir(parents=True, exist_ok=True)
    for mount_point in _MOUNT_POINTS:
        (root / mount_point).mkdir(parents=True, exist_ok=True)
    units = root / "etc/systemd/system"
    wants = units / "sysinit.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "lab-gpu.service").symlink_to("/usr/lib/systemd/system/lab-gpu.service")
    # No terminal is attached to a host: a login prompt there would only start over and over.
    for unit in ("console-getty.service", "getty@tty1.service"):
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    compilers = root / "usr/lib/lab/compilers"
    compilers.mkdir()
    for compiler in _COMPILERS:
        (compilers / compiler).symlink_to("../remember-conftest")
    run(["chroot", str(root), "update-ca-certificates"])
    run(["chroot", str(root), "ldconfig"])


def _machine_apt_options() -> str:
    """Those of this machine's apt options without which its archive may not be usable."""
    wanted = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::Retries")
    lines = run(["apt-config", "dump"]).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(wanted))


def _debian_keyrings() -> set[str]:
    return {path.name for path in Path("/usr/share/keyrings").glob("debian-archive-*")}


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())
