"""Make, start, stop and remove lab hosts."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lab import cgroups, lock, paths, preflight
from lab.errors import LabError
from lab.gpu import cards
from lab.hosts import image, saved_hosts, ssh
from lab.hub import hub_process
from lab.network import bridge
from lab.progress import note, step
from lab.sources import apt_cache, python_index
from lab.tiny_model import AWQ
from lab.tiny_model.choice import ModelChoice, choose, named

DEFAULT_CARDS = "2x24564"
DEFAULT_RELEASE = "trixie"

# A boot takes 2 s and a shutdown 1 s on an idle machine; the rest is for one that compiles.
_BOOT_SECONDS = 90.0
_STOP_SECONDS = 90.0
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True)
class LabHost:
    """One disposable host. Its methods look at the host as it is now; nothing is remembered."""

    name: str
    index: int
    address: str
    release: str
    cards: str
    image: str
    saved: tuple[str, ...]
    model: str
    model_reason: str

    @property
    def directory(self) -> Path:
        """Where the host's disk, configuration and log are on the outer machine."""
        return paths.host_directory(self.name)

    @property
    def choice(self) -> ModelChoice:
        """The model that the host is to serve, and why it is the one."""
        return ModelChoice(named(self.model), self.model_reason)

    @property
    def log(self) -> Path:
        """The host's console."""
        return self.directory / "console.log"

    @property
    def running(self) -> bool:
        """Whether the host is powered; false after `poweroff` inside it."""
        return cgroups.alive(_control_group(self.name))

    @property
    def boots(self) -> int:
        """How often the host has booted since it was made; a reboot adds one."""
        counter = self.directory / "boots"
        return int(counter.read_text()) if counter.exists() else 0

    def ssh(
        self,
        command: str,
        *,
        input_text: str | None = None,
        check: bool = False,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on the host.

        CHECK raises LabError when it does not end with 0; TIMEOUT is in seconds.
        """
        done = ssh.execute(self.address, command, input_text=input_text, timeout=timeout)
        if check and done.returncode != 0:
            raise LabError(
                f"{self.name}: `{command}` ended with {done.returncode}: "
                f"{(done.stderr + done.stdout).strip()}"
            )
        return done

    def start(self) -> None:
        """Power the host on and wait until its boot is complete; nothing when it runs."""
        with lock.exclusive():
            _start([self])

    def stop(self) -> None:
        """Shut the host down in order, as its power button does, and wait until it is off."""
        with lock.exclusive():
            _stop(self)

    def cut_power(self) -> None:
        """End the host in the middle of whatever it does; `start` boots it again."""
        with lock.exclusive():
            _remove_processes(self.name)

    def reboot(self) -> None:
        """Reboot the host from inside and wait until the new boot is complete."""
        before = self.boots
        self.ssh("systemctl reboot")
        deadline = time.monotonic() + _BOOT_SECONDS
        while self.boots == before:
            if time.monotonic() > deadline or not self.running:
                raise LabError(f"{self.name} did not come back from its reboot: see {self.log}")
            time.sleep(0.05)
        self.wait_until_booted()

    def wait_until_booted(self) -> str:
        """Wait for an SSH login and the end of the boot; return what systemd says it is.

        `running`, or `degraded` when a unit failed.
        """
        deadline = time.monotonic() + _BOOT_SECONDS
        while True:
            if _accepts_ssh(self.address):
                done = self.ssh("systemctl is-system-running --wait", timeout=_BOOT_SECONDS)
                if done.stdout.strip() in ("running", "degraded"):
                    return done.stdout.strip()
            if not self.running:
                raise LabError(f"{self.name} stopped while it booted: see {self.log}")
            if time.monotonic() > deadline:
                raise LabError(
                    f"{self.name} at {self.address} did not finish booting within "
                    f"{_BOOT_SECONDS:.0f} s: see {self.log}"
                )
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """The processes of the host and of its supervisor, by their ids on this machine."""
        return cgroups.processes(_control_group(self.name))

    def memory_bytes(self) -> int:
        """The memory that the host's processes and its supervisor hold, shared pages divided."""
        total = 0
        for process in self.processes():
            try:
                rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            total += sum(int(kib) * 1024 for kib in re.findall(r"^Pss:\s+(\d+) kB", rollup, re.M))
        return total

    def to_json(self) -> dict[str, Any]:
        """The host as `lab status --json` shows it."""
        return {
            "name": self.name,
            "address": self.address,
            "running": self.running,
            "boots": self.boots,
            "release": self.release,
            "cards": self.cards,
            "saved": list(self.saved),
            "model": {
                "name": self.model,
                "repository": self.choice.model.repository,
                "reason": self.model_reason,
            },
        }

    @classmethod
    def read(cls, name: str) -> Self:
        """The host with this name; LabError when there is none."""
        try:
            values = json.loads((paths.host_directory(name) / "lab.json").read_text())
        except FileNotFoundError:
            known = ", ".join(host.name for host in hosts()) or "none"
            raise LabError(f"there is no lab host {name!r}; hosts: {known}") from None
        # Hosts of a lab that is older than the choice serve the model that was the only one.
        earlier = {"model": AWQ.name, "model_reason": "the only one when the host was made"}
        return cls(**{**earlier, **values, "saved": tuple(values["saved"])})


def hosts() -> list[LabHost]:
    """Every host there is, running or stopped, in order."""
    files = (paths.state_directory() / "hosts").glob("lab*/lab.json")
    return sorted((LabHost.read(file.parent.name) for file in files), key=lambda host: host.index)


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
        _remove_half_made()
        existing = {host.index: host for host in hosts()}
        _services_up()
        new = [index for index in range(1, count + 1) if index not in existing]
        if new:
            python_index.ensure_wheels()
            layers = _layers(release, saved)
            choice = asked or layers.choice or choose(None)
            for index in new:
                existing[index] = _make(index, specs[index - 1], layers, choice)
            note(f"{', '.join(map(paths.host_name, new))}: to serve {choice}")
        _write_known_hosts()
        wanted = [existing[index] for index in range(1, count + 1)]
        if model is not None and asked is not None:
            wanted = [_to_serve(host, asked) for host in wanted]
        _start(wanted)
    return wanted


def down(names: Sequence[str] = ()) -> None:
    """Remove the named hosts, or the whole lab: processes, links, rules, disks.

    Works on whatever an interrupted command left, and when there is nothing.
    """
    with lock.exclusive():
        if names:
            for host in [LabHost.read(name) for name in names]:
                _remove(host.name)
            _write_known_hosts()
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
                _stop(host)
        with step(f"saving {name} as {saved_name}"):
            upper = host.directory / "upper"
            saved_hosts.save(saved_name, upper, host.image, host.saved, host.model, move=remove)
        if remove:
            _remove(name)
            _write_known_hosts()
        elif was_running:
            _start([host])


def _services_up() -> None:
    """Bring up what hosts need: network, package cache, hub, keys."""
    bridge.up()
    ssh.ensure_key()
    apt_cache.up()
    hub_process.up()


@dataclass(frozen=True)
class _Layers:
    release: str
    image: str
    saved: tuple[str, ...]
    choice: ModelChoice | None = None


def _layers(release: str | None, saved: str | None) -> _Layers:
    if saved is None:
        release = release or DEFAULT_RELEASE
        built = image.ensure(release).name
        image.remove_unused({host.image for host in hosts()} | saved_hosts.images_in_use())
        return _Layers(release, built, ())
    found = saved_hosts.read(saved)
    found_release = found.image.partition("-")[0]
    if release not in (None, found_release):
        raise LabError(f"saved host {saved!r} is {found_release}; asked for was {release}")
    choice = ModelChoice(named(found.model), f"the saved host {saved} has it")
    return _Layers(found_release, found.image, (saved, *found.saved), choice)


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


def _make(index: int, card_spec: str, layers: _Layers, choice: ModelChoice) -> LabHost:
    """Lay out a host's directory; lab.json comes last, so a directory without it is half made."""
    host = LabHost(
        name=paths.host_name(index),
        index=index,
        address=paths.host_address(index),
        release=layers.release,
        cards=card_spec,
        image=layers.image,
        saved=layers.saved,
        model=choice.model.name,
        model_reason=choice.reason,
    )
    directory = host.directory
    directory.mkdir(parents=True)
    own_cards = cards.parse(card_spec, host.name)
    cards.write_pci_devices(directory / "pci", own_cards)
    cards.write_cards(directory / "gpu" / "cards", own_cards)
    cards.write_kernel_modules(directory / "modules")
    _write_identity(host, directory / "upper")
    for cache in ("uv", "pip", "ccache", "wheels"):
        (paths.cache_directory() / cache).mkdir(parents=True, exist_ok=True)
    _write_json(directory / "supervisor.json", _supervisor_settings(host))
    _write_json(directory / "lab.json", dataclasses.asdict(host))
    return host


def _to_serve(host: LabHost, choice: ModelChoice) -> LabHost:
    """Note that the host is to serve another model, where it is another."""
    if host.model == choice.model.name:
        return host
    changed = dataclasses.replace(host, model=choice.model.name, model_reason=choice.reason)
    _write_json(host.directory / "lab.json", dataclasses.asdict(changed))
    return changed


def _write_identity(host: LabHost, root: Path) -> None:
    """Write what no two hosts share onto the host's own layer, over whatever lies below."""
    etc = root / "etc"
    (etc / "ssh").mkdir(parents=True)
    root.chmod(0o755)
    (etc / "hostname").write_text(f"{host.name}\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n")
    (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
    servers = "".join(f"nameserver {server}\n" for server in bridge.name_servers())
    (etc / "resolv.conf").write_text(servers)
    ssh.make_key(etc / "ssh" / "ssh_host_ed25519_key", comment=host.name)
    authorized = root / "root" / ".ssh"
    authorized.mkdir(parents=True, mode=0o700)
    (root / "root").chmod(0o700)
    shutil.copyfile(ssh.key_file().with_suffix(".pub"), authorized / "authorized_keys")


def _supervisor_settings(host: LabHost) -> dict[str, Any]:
    cache = paths.cache_directory()
    gpu = host.directory / "gpu"
    return {
        "name": host.name,
        "directory": str(host.directory),
        "layers": [
            *(str(saved_hosts.layer(name)) for name in host.saved),
            str(image.images_directory() / host.image),
        ],
        "address": host.address,
        "prefix_length": paths.PREFIX_LENGTH,
        "gateway": paths.BRIDGE_ADDRESS,
        "bridge": paths.BRIDGE,
        "link": bridge.link_name(host.name),
        "hardware_address": bridge.hardware_address(host.index),
        "mtu": bridge.uplink_mtu(),
        "read_only_binds": [
            (str(host.directory / "pci"), "/sys/bus/pci/devices"),
            (str(host.directory / "modules"), "/sys/module"),
            (str(python_index.wheels_directory()), python_index.WHEELS_ON_HOST),
        ],
        "binds": [
            (str(gpu), "/run/lab-gpu"),
            (str(cache / "uv"), "/root/.cache/uv"),
            (str(cache / "pip"), "/root/.cache/pip"),
            (str(cache / "ccache"), "/var/cache/lab/ccache"),
        ],
    }


def _start(wanted: Sequence[LabHost]) -> None:
    """Power on those that are off, all at once, and wait for every boot."""
    stopped = [host for host in wanted if not host.running]
    for host in stopped:
        # Of a supervisor that was killed: an empty group, and a link the kernel has yet to remove.
        _remove_processes(host.name)
        group = cgroups.unified_root() / cgroups.PARENT / _control_group(host.name)
        settings = json.loads((host.directory / "supervisor.json").read_text())
        _write_json(host.directory / "supervisor.json", {**settings, "control_group": str(group)})
        cgroups.spawn(
            _control_group(host.name),
            [
                *("unshare", "--mount", "--propagation", "private"),
                *("--pid", "--fork", "--kill-child", "--mount-proc"),
                *(sys.executable, "-I", str(_SUPERVISOR)),
                str(host.directory / "supervisor.json"),
            ],
            log=host.log,
        )
    for host in wanted:
        # One that runs may have been started by a command that was cut off before its boot ended.
        with step(f"booting {host.name} ({host.address})") if host in stopped else nullcontext():
            _wait_for_process(host)
            state = host.wait_until_booted()
        if state != "running":
            failed = host.ssh("systemctl list-units --failed --plain --no-legend").stdout.strip()
            note(f"{host.name} is {state}: {failed}")


def _wait_for_process(host: LabHost) -> None:
    """Wait until the supervisor has entered its group, so that `running` means something."""
    deadline = time.monotonic() + _BOOT_SECONDS
    while not host.running and not (host.directory / "boots").exists():
        if time.monotonic() > deadline:
            raise LabError(f"{host.name} could not be started: see {host.log}")
        time.sleep(0.01)


def _stop(host: LabHost) -> None:
    supervisor = _supervisor_process(host)
    if supervisor is not None:
        os.kill(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while host.running:
            if time.monotonic() > deadline:
                raise LabError(f"{host.name} does not shut down: see {host.log}")
            time.sleep(0.02)
    _remove_processes(host.name)


def _supervisor_process(host: LabHost) -> int | None:
    """The process that turns SIGTERM into an orderly shutdown: the one running the supervisor."""
    for process in cgroups.processes(_control_group(host.name)):
        arguments = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if str(_SUPERVISOR).encode() in arguments and arguments[0] != b"unshare":
            return process
    return None


def _remove_processes(name: str) -> None:
    cgroups.kill(_control_group(name))
    bridge.remove_host_link(name)


def _remove(name: str) -> None:
    _remove_processes(name)
    shutil.rmtree(paths.host_directory(name))


def _remove_half_made() -> None:
    """Clear directories that an `up` left when it was cut off before they were whole."""
    for directory in (paths.state_directory() / "hosts").glob("lab*"):
        if not (directory / "lab.json").exists():
            _remove(directory.name)


def _write_known_hosts() -> None:
    keys = {}
    for host in hosts():
        public = host.directory / "upper/etc/ssh/ssh_host_ed25519_key.pub"
        keys[host.address] = public.read_text()
    ssh.write_known_hosts(keys)


def _write_json(file: Path, values: dict[str, Any]) -> None:
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(values, indent=2) + "\n")
    unfinished.rename(file)


def _accepts_ssh(address: str) -> bool:
    try:
        # Short: the first packet to an address that is not there yet is lost, and the kernel sends
        # another only a second later.
        with socket.create_connection((address, 22), timeout=0.2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _control_group(name: str) -> str:
    return f"host-{name}"
