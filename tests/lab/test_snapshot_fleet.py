"""A checkpoint on eight bare hosts: fetched once, handed on, verified, and nothing left behind.

One story in the order of this file. Only the host's tools and the snapshot are deployed; the hub
speaks https, so that the list of files is asked of it, and wants a token, which nobody must ever
see.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from lab import hosts, paths
from lab.hosts import LabHost
from lab.hub import synthetic_model
from lab.hub.access_log import AccessLog
from lab.hub.certificate import make_certificate
from lab.hub.faults import Faults
from lab.hub.repository import head_commit
from lab.hub.server import HubServer
from lab.stages import deploy_command
from tests.lab.deploys import Result, deploy, write_inventory

pytestmark = pytest.mark.lab

DEPLOY = "tests/lab/snapshot_deploy.py"
TOKEN = "hf_nobody-must-see-this"
MODEL = "/srv/models/synthetic"
FETCH = f"Snapshot | Fetch and verify {synthetic_model.REPOSITORY}"
# Shards that travel by themselves, as those of a real checkpoint do.
SHARDS, SHARD_SIZE = 4, 66_000_000
CUT_LOSS = 1 << 20
# Who may not log in as root.
USER = "keeper"
LET_IN = (
    f"useradd --create-home --shell /bin/bash {USER} && "
    f"cp -r /root/.ssh /home/{USER}/.ssh && chown -R {USER}: /home/{USER}/.ssh && "
    f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}"
)

# This machine reaches its own hub from whichever of its addresses, and from none of these.
HOSTS = {paths.host_address(index) for index in range(1, paths.MAXIMUM_HOSTS + 1)}


class FleetHub:
    """A hub on the lab's bridge with a checkpoint, and what it gave to whom."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "hub"
        self.folder = self.root / synthetic_model.REPOSITORY
        synthetic_model.make(self.root, size=SHARDS * SHARD_SIZE, shards=SHARDS)
        self.log = directory / "access.log"
        self.certificate = directory / "hub.pem"
        make_certificate(self.certificate, paths.BRIDGE_ADDRESS)
        self._access_log = AccessLog(self.log)
        self.port = 0
        self.start()

    @property
    def commit(self) -> str:
        return head_commit(self.root, synthetic_model.REPOSITORY)

    def start(self) -> None:
        self.server = HubServer(
            (paths.BRIDGE_ADDRESS, self.port),
            self.root,
            self._access_log,
            faults=Faults(token=TOKEN),
            certificate=self.certificate,
        )
        self.port = self.server.server_port
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def bytes_of(self, path: Path) -> int:
        """How many bytes of a file went from the hub to hosts since `forget`.

        A refusal's are not the file's, and what this machine makes the list with is not theirs.
        """
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return sum(
            int(line[3])
            for line in lines
            if line[0] == "GET"
            and line[1].endswith(f"/{path.name}")
            and line[2].startswith("2")
            and line[5] in HOSTS
        )

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def forget(self) -> None:
        self.log.write_text("")


@pytest.fixture(scope="module")
def fleet() -> Iterator[list[LabHost]]:
    """Eight bare hosts, every second of which lets a user with sudo in. No lab before or after."""
    if hosts.hosts():
        pytest.fail("a lab is up on this machine: end it with `fortyninety lab down` first")
    started = hosts.up(8)
    on_each(started[1::2], LET_IN)
    yield started
    hosts.down()


@pytest.fixture(scope="module")
def hub(fleet: list[LabHost], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetHub]:
    serving = FleetHub(tmp_path_factory.mktemp("fleet"))
    pem = serving.certificate.read_text()
    public = pem[pem.index("-----BEGIN CERTIFICATE-----") :]
    believe = (
        "cat > /usr/local/share/ca-certificates/fleet-hub.crt && update-ca-certificates && "
        "echo SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt >> /etc/environment"
    )
    for host in fleet:
        host.ssh(believe, input_text=public, check=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FLEET_HUB_TOKEN", TOKEN)
        environment.setenv("REQUESTS_CA_BUNDLE", str(serving.certificate))
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield serving
    serving.stop()


@pytest.fixture(scope="module")
def inventory(hub: FleetHub, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lab's hosts with this checkpoint; its commit is read at each run."""
    return write_inventory(
        tmp_path_factory.mktemp("inventory"),
        "from pathlib import Path\n"
        "from lab.hub.repository import head_commit\n"
        "from lab.inventory import inventory\n"
        f"_root, _repository = Path({str(hub.root)!r}), {synthetic_model.REPOSITORY!r}\n"
        "_model = {\n"
        "    'model_repository': _repository,\n"
        "    'model_revision': head_commit(_root, _repository),\n"
        f"    'hub_endpoint': 'https://{paths.BRIDGE_ADDRESS}:{hub.port}',\n"
        "    'hub_token': 'environment:FLEET_HUB_TOKEN',\n"
        "}\n"
        f"_user = {{'ssh_user': {USER!r}, '_sudo': True}}\n"
        "lab = [\n"
        "    (name, {**data, **_model, **(_user if number % 2 else {})})\n"
        "    for number, (name, data) in enumerate(inventory())\n"
        "]\n",
    )


def run(inventory: str, *arguments: str) -> Result:
    return deploy(*arguments, inventory=inventory, deploy_file=DEPLOY)


def on_each(fleet: Sequence[LabHost], command: str) -> list[str]:
    """What a command prints on every host, side by side."""
    with ThreadPoolExecutor(len(fleet)) as pool:
        return list(pool.map(lambda host: host.ssh(command, check=True).stdout, fleet))


def assert_right(fleet: Sequence[LabHost], hub: FleetHub) -> None:
    """Every byte on every host, by the host's own sha256sum."""
    expected = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in hub.files()}
    for output in on_each(fleet, f"cd {MODEL}/{hub.commit} && sha256sum *"):
        found = {name: digest for digest, name in map(str.split, output.splitlines())}
        assert found == expected


def assert_nothing_left(fleet: Sequence[LabHost]) -> None:
    look = (
        "ss -Hltn | grep :8873; systemctl list-units --all --no-legend 'fortyninety-snapshot*'; "
        f"ls -d /run/fortyninety-* {MODEL}/.[pil]*-* 2>/dev/null; pgrep -a rsync; true"
    )
    assert on_each(fleet, look) == [""] * len(fleet)


# --- Once -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def supplied(fleet: list[LabHost], hub: FleetHub, inventory: str) -> Result:
    on_each(fleet, "cp /root/.ssh/authorized_keys /root/keys-before")
    # As talkative as it gets: for the test that looks for the token.
    ran = run(inventory, "-vvv", "--diff")
    assert ran.exit_code == 0, ran.output
    return ran


def test_each_byte_leaves_the_hub_once_for_eight_hosts(
    fleet: list[LabHost], hub: FleetHub, supplied: Result
) -> None:
    assert len(supplied.changed[FETCH]) == len(fleet)
    assert {path.name: hub.bytes_of(path) for path in hub.files()} == {
        path.name: path.stat().st_size for path in hub.files()
    }
    assert_right(fleet, hub)


@pytest.mark.usefixtures("supplied")
def test_no_port_no_unit_no_secret_and_no_key_stays(fleet: list[LabHost]) -> None:
    assert_nothing_left(fleet)
    on_each(fleet, "cmp /root/.ssh/authorized_keys /root/keys-before")


def test_the_token_is_seen_nowhere(fleet: list[LabHost], supplied: Result) -> None:
    assert TOKEN not in supplied.output
    look = (
        f"grep -rls {TOKEN[3:]} /etc /root/.ssh /root/.cache/huggingface /home /run /tmp /var/tmp "
        f"{MODEL} /opt/fortyninety/bin --exclude=*.safetensors; "
        f"journalctl --no-pager | grep {TOKEN[3:]}; true"
    )
    assert on_each(fleet, look) == [""] * len(fleet)


@pytest.mark.usefixtures("supplied")
def test_a_second_run_changes_nothing_and_asks_the_hub_for_nothing(
    fleet: list[LabHost], hub: FleetHub, inventory: str
) -> None:
    fleet[0].reboot()  # What is on disk is there after a reboot too.
    hub.forget()
    ran = run(inventory)
    assert (ran.exit_code, ran.changed) == (0, {}), ran.output
    assert hub.log.read_text() == ""


# --- Put right ------------------------------------------------------------------------------------


def flip_a_byte(host: LabHost, hub: FleetHub) -> str:
    """Change one byte of a shard on a host, as a bad disk would, but for the time of change."""
    shard = hub.files()[1].name
    path = f"{MODEL}/{hub.commit}/{shard}"
    host.ssh(
        f"touch -r {path} /root/time && printf 'four' | "
        f"dd of={path} bs=1 seek=1000 conv=notrunc status=none && touch -r /root/time {path}",
        check=True,
    )
    return shard


def verify(inventory: str) -> tuple[int, dict[str, list[str]]]:
    ran = subprocess.run(
        [sys.executable, "-m", "fortyninety", "snapshot", "verify", inventory, "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    hosts = json.loads(ran.stdout)["result"]["hosts"]
    return ran.returncode, {each["host"]: each["wrong"] for each in hosts}


@pytest.mark.usefixtures("supplied")
def test_a_silent_flip_is_found_by_verifying_and_the_next_run_gets_it_from_a_peer(
    fleet: list[LabHost], hub: FleetHub, inventory: str
) -> None:
    bad = fleet[3]
    shard = flip_a_byte(bad, hub)
    code, wrong = verify(inventory)
    assert code == 1
    assert {name for name, found in wrong.items() if found} == {bad.name}
    (line,) = wrong[bad.name]
    assert line.startswith(f"{shard} has SHA-256 ")

    hub.stop()
    try:
        ran = run(inventory)
    finally:
        hub.start()
    assert ran.exit_code == 0, ran.output
    assert ran.changed == {FETCH: [bad.name]}
    assert_right(fleet, hub)
    assert_nothing_left(fleet)
    assert verify(inventory)[0] == 0


@pytest.mark.usefixtures("supplied")
def test_a_new_commit_costs_what_is_new_in_it_and_old_ones_are_pruned(
    fleet: list[LabHost], hub: FleetHub, inventory: str
) -> None:
    commits = [hub.commit]
    for number in (1, 2):
        (hub.folder / "config.json").write_text(f'{{"number": {number}}}')
        commits.append(hub.commit)
        hub.forget()
        ran = run(inventory)
        assert ran.exit_code == 0, ran.output
        assert [path.name for path in hub.files() if hub.bytes_of(path)] == ["config.json"]
    assert_right(fleet, hub)
    for output in on_each(fleet, f"ls {MODEL}"):
        assert sorted(output.split()) == sorted(commits[1:])
    again = run(inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output


# --- Cut ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("supplied")
def test_a_controller_killed_in_the_middle_leaves_no_port_open_and_the_next_run_converges(
    fleet: list[LabHost], hub: FleetHub, inventory: str
) -> None:
    on_each(fleet, f"rm -rf {MODEL}")
    hub.forget()
    # One shard at a time leaves the hub, for longer than a look at all hosts takes.
    hub.server.bytes_per_second = 3 * 10**6
    command = deploy_command(inventory, "--data", "peer_rate_limit=5", deploy_file=DEPLOY)
    listening = "ss -Hltn | grep -c :8873 || true"
    # Whole shards here, and how many of them are on their way from the hub with some MB here.
    progress = (
        f"ls {MODEL}/.partial-*/model-* 2>/dev/null | wc -l; "
        f"if ls -d {MODEL}/.incoming-*/peer > /dev/null 2>&1; then echo 0; "
        f"else find {MODEL}/.incoming-*/arriving -type f -size +8M 2>/dev/null | wc -l; fi"
    )
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as controller:
        deadline = time.monotonic() + 180
        whole = begun = 0
        # Some shards are whole on one host, and others have begun to come to another.
        while whole < 2 or not begun:
            assert controller.poll() is None and time.monotonic() < deadline
            counts = [[int(x) for x in each.split()] for each in on_each(fleet, progress)]
            whole, begun = (sum(column) for column in zip(*counts, strict=True))
        controller.send_signal(signal.SIGKILL)
    hub.server.bytes_per_second = None
    assert sum(int(each) for each in on_each(fleet, listening)) >= 2
    for host in fleet:
        assert host.ssh(f"test -e {MODEL}/{hub.commit}").returncode == 1, "half a snapshot"
        if int(host.ssh(listening).stdout):
            # Its end is due within three minutes whether anybody comes back or not; it comes now.
            timer = "fortyninety-snapshot-peer-end"
            due = host.ssh(f"systemctl show -P NextElapseUSecMonotonic {timer}.timer").stdout
            assert due.strip() not in ("", "infinity"), "nothing would end it"
            host.ssh(f"systemctl start --wait {timer}.service", check=True)
            assert not int(host.ssh(listening).stdout)
    ran = run(inventory)
    assert ran.exit_code == 0, ran.output
    assert_right(fleet, hub)
    assert_nothing_left(fleet)
    for path in hub.files():
        sent = hub.bytes_of(path)
        assert sent <= path.stat().st_size + CUT_LOSS, f"{path.name}: {hub.log}\n{ran.output}"
