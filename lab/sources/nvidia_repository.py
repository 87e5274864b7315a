"""An apt repository like NVIDIA's, made on the spot: the same names, layout and signature.

Its driver packages go the whole way through dpkg and DKMS, but their module is a few lines of C
that carry a version, and their libraries are files of the right name. `nvidia-smi` and the
persistence daemon are Debian's own packages, given the driver's version.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lab import paths
from lab.commands import run
from lab.hosts import LabHost

# Packages of Debian's that are in NVIDIA's repository too, with the driver's version.
BORROWED = ("nvidia-smi", "nvidia-modprobe", "nvidia-persistenced")

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_MODULE = """#include <linux/module.h>
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Carries the version of a driver that is not there");
MODULE_VERSION("{version}");
"""
_DKMS = """PACKAGE_NAME="nvidia"
PACKAGE_VERSION="{version}"
BUILT_MODULE_NAME[0]="nvidia"
DEST_MODULE_LOCATION[0]="/updates/dkms"
MAKE[0]="make -C $kernel_source_dir M=$dkms_tree/nvidia/{version}/build modules"
CLEAN="true"
AUTOINSTALL="yes"
"""
_POSTINST = """#!/bin/sh
set -e
[ "$1" != configure ] || /usr/lib/dkms/common.postinst nvidia {version} /usr/share/{name} "" "$2"
"""
_PRERM = """#!/bin/sh
set -e
dkms remove -m nvidia -v {version} --all || true
"""


@dataclass(frozen=True)
class Package:
    """A package to build: its control fields beyond name and version, and its files."""

    name: str
    version: str
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)


def driver(version: str, borrowed: Mapping[str, bytes]) -> list[Package]:
    """A driver's packages, named as NVIDIA names them for Debian. `borrowed` are Debian's own."""
    package_version = f"{version}-1"
    same = f"(= {package_version})"

    def library(name: str, file: str, **fields: str) -> Package:
        return Package(
            name, package_version, fields, {f"{_LIBRARIES}/{file}.so.{version}": "a library\n"}
        )

    tools = {"usr/bin/nvidia-smi": borrowed["nvidia-smi"]}
    later = int(version.partition(".")[0]) >= 565
    return [
        *(_modules(name, version) for name in ("nvidia-kernel-dkms", "nvidia-kernel-open-dkms")),
        library("libnvidia-ml1", "libnvidia-ml"),
        library("libnvidia-ptxjitcompiler1", "libnvidia-ptxjitcompiler"),
        library("libnvidia-cfg1", "libnvidia-cfg"),
        library("libcuda1", "libcuda", Depends=f"libnvidia-ptxjitcompiler1 {same}"),
        Package(
            "nvidia-driver-cuda" if later else "nvidia-smi",
            package_version,
            {
                "Depends": f"libcuda1 {same}, libnvidia-ml1 {same}",
                **({"Conflicts": "nvidia-smi", "Replaces": "nvidia-smi"} if later else {}),
                **({} if later else {"Conflicts": "nvidia-driver-cuda"}),
            },
            tools,
        ),
    ]


def _modules(name: str, version: str) -> Package:
    others = {"nvidia-kernel-dkms", "nvidia-kernel-open-dkms", "nvidia-open-kernel-dkms"} - {name}
    source = f"usr/src/nvidia-{version}"
    return Package(
        name,
        f"{version}-1",
        {"Depends": "dkms", "Conflicts": ", ".join(sorted(others))},
        {
            f"{source}/nvidia.c": _MODULE.format(version=version),
            f"{source}/Makefile": "obj-m := nvidia.o\n",
            f"{source}/dkms.conf": _DKMS.format(version=version),
        },
        {
            "postinst": _POSTINST.format(version=version, name=name),
            "prerm": _PRERM.format(version=version),
        },
    )


def toolkit(version: str, **fields: str) -> Package:
    """A CUDA toolkit: a compiler that says which it is, in a folder of its own."""
    name = f"cuda-toolkit-{version.replace('.', '-')}"
    compiler = f'#!/bin/sh\necho "Cuda compilation tools, release {version}, V{version}.131"\n'
    return Package(name, f"{version}.1-1", fields, {f"usr/local/cuda-{version}/bin/nvcc": compiler})


def borrow(host: LabHost) -> dict[str, bytes]:
    """Debian's own packages that the repository has too, fetched by HOST; nvidia-smi unpacked."""
    fetched = host.ssh(
        "set -e; cd $(mktemp -d); apt-get -qq update; apt-get -qq download "
        f"{' '.join(BORROWED)} >&2; dpkg-deb -x nvidia-smi_*.deb smi; "
        "find smi -type f -name nvidia-smi -exec mv {} nvidia-smi \\;; "
        f"for name in {' '.join(BORROWED)}; do "
        '[ -e "$name" ] || mv "$name"_*.deb "$name"; base64 -w 0 "$name"; echo; done',
        check=True,
    ).stdout
    lines = fetched.splitlines()[-len(BORROWED) :]
    return {name: base64.b64decode(line) for name, line in zip(BORROWED, lines, strict=True)}


def reach_directly(host: LabHost) -> None:
    """The lab's own repository is on the bridge, and no business of the package cache."""
    host.ssh(
        "echo 'Acquire::http::Proxy::10.90.0.1 \"DIRECT\";' >/etc/apt/apt.conf.d/20lab-direct",
        check=True,
    )


class Repository:
    """A signed repository in a folder, served to lab hosts while `serving`."""

    def __init__(self, folder: Path, distribution: str, port: int = 8091) -> None:
        """Make a key and an empty repository for a distribution, by NVIDIA's name for it."""
        self.folder = folder
        self.root = folder / distribution / "x86_64"
        self._port = port
        # Short: a socket's path below it has a limit.
        self._keys = Path(tempfile.mkdtemp(prefix="f90key"))
        self.fingerprint = self._make_key()
        self.root.mkdir(parents=True)
        (self.root / f"{self.fingerprint[-8:].lower()}.pub").write_text(
            self._gpg("--armor", "--export", self.fingerprint)
        )

    @property
    def address(self) -> str:
        """What `nvidia_repository` is to be set to."""
        return f"http://{paths.BRIDGE_ADDRESS}:{self._port}"

    def add(self, *packages: Package, borrowed: Mapping[str, bytes] | None = None) -> None:
        """Build the packages and sign an index with them added.

        Packages in `borrowed` that are whole get the version of the first of `packages`.
        """
        for package in packages:
            _build(package, self.root)
        if borrowed is not None:
            for name in ("nvidia-modprobe", "nvidia-persistenced"):
                _renumber(borrowed[name], name, packages[0].version, self.root)
        self._index(self.root)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer lab hosts, from this process, until the end of the block."""
        handler = partial(_Quiet, directory=str(self.folder))
        server = ThreadingHTTPServer((paths.BRIDGE_ADDRESS, self._port), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            run(["gpgconf", "--homedir", str(self._keys), "--kill", "gpg-agent"])
            shutil.rmtree(self._keys, ignore_errors=True)

    def _make_key(self) -> str:
        user = "Lab repository <nobody@lab.invalid>"
        self._gpg("--passphrase", "", "--quick-gen-key", user, "ed25519", "sign", "never")
        listed = self._gpg("--with-colons", "--list-keys")
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    def _gpg(self, *arguments: str, input_text: str | None = None) -> str:
        command = ["gpg", "--homedir", str(self._keys), "--batch", "--quiet", "--no-tty"]
        return run([*command, "--pinentry-mode", "loopback", *arguments], input_text=input_text)

    def _index(self, root: Path) -> None:
        """Packages, Packages.gz, Release and InRelease of a flat repository."""
        packages = "\n".join(_stanza(archive) for archive in sorted(root.glob("*.deb")))
        (root / "Packages").write_text(packages)
        (root / "Packages.gz").write_bytes(gzip.compress(packages.encode(), mtime=0))
        sums = "".join(
            f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n"
            for name in ("Packages", "Packages.gz")
            for data in [(root / name).read_bytes()]
        )
        release = (
            "Origin: NVIDIA\nLabel: NVIDIA CUDA\nArchitecture: x86_64\n"
            f"Date: {formatdate(usegmt=True).replace('GMT', 'UTC')}\nSHA256:\n{sums}"
        )
        (root / "Release").write_text(release)
        (root / "InRelease").write_text(self._gpg("--clearsign", input_text=release))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what hosts fetch is no part of a test's output."""


def _build(package: Package, target: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "tree"
        for name, content in package.files.items():
            file = tree / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
            file.chmod(0o755 if "/bin/" in name else 0o644)
        control = tree / "DEBIAN"
        control.mkdir(parents=True)
        fields = {
            "Package": package.name,
            "Version": package.version,
            "Architecture": "amd64",
            "Maintainer": "Lab <nobody@lab.invalid>",
            **package.fields,
            "Description": "stands in for NVIDIA's package of this name",
        }
        text = "".join(f"{key}: {value}\n" for key, value in fields.items())
        (control / "control").write_text(text)
        for name, script in package.scripts.items():
            (control / name).write_text(script)
            (control / name).chmod(0o755)
        tree.chmod(0o755)
        _pack(tree, target / f"{package.name}_{package.version}_amd64.deb")


def _renumber(archive: bytes, name: str, version: str, target: Path) -> None:
    """Another package's archive again, with another version."""
    with tempfile.TemporaryDirectory() as directory:
        original, tree = Path(directory) / "original.deb", Path(directory) / "tree"
        original.write_bytes(archive)
        run(["dpkg-deb", "--raw-extract", str(original), str(tree)])
        control = tree / "DEBIAN" / "control"
        lines = control.read_text().splitlines()
        lines = [f"Version: {version}" if line.startswith("Version:") else line for line in lines]
        control.write_text("\n".join(lines) + "\n")
        _pack(tree, target / f"{name}_{version}_amd64.deb")


def _pack(tree: Path, archive: Path) -> None:
    run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "--build", str(tree), str(archive)])


def _stanza(archive: Path) -> str:
    data = archive.read_bytes()
    return (
        f"{run(['dpkg-deb', '--field', str(archive)]).rstrip()}\nFilename: ./{archive.name}\n"
        f"Size: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    )
