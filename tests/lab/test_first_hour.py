"""A stranger's first hour: a machine with python3 and pip, two bare boxes, and what the docs say.

`FORTYNINETY_RECORD=docs` writes what was printed into docs/first-hour.md and its picture.
"""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Iterator

import pytest

from fortyninety.checkout import ROOT
from lab import hosts, paths
from lab.hosts import LabHost, ssh
from lab.hub import hub_process
from lab.hub.access_log import AccessLog
from lab.hub.certificate import make_certificate
from lab.hub.server import HubServer
from lab.inventory import model_data
from tests.lab.recording import draw, plain, run_on_terminal, shortened
from tests.unit.installed_wheel import build_wheel

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

PAGE = ROOT / "docs" / "first-hour.md"
PICTURE = ROOT / "docs" / "first-hour.svg"
BEGIN, END = "<!-- recorded: begin -->", "<!-- recorded: end -->"
WORK = "/root/fleet"
BELIEVED = "/etc/ssl/certs/ca-certificates.crt"
# How many first and last lines of long outputs the page shows, and the picture.
ON_PAGE = {"init": (19, 30), "doctor": (16, 0), "deploy": (11, 24)}
IN_PICTURE = {"init": (1, 0), "doctor": (16, 0), "deploy": (3, 14)}


@pytest.fixture(scope="module")
def boxes(lab: None) -> list[LabHost]:
    """Two bare boxes."""
    del lab
    return hosts.up(2, cards="2x24564")


@pytest.fixture(scope="module")
def machine(boxes: list[LabHost]) -> LabHost:
    """What the operator has: a host with Debian 12."""
    del boxes
    return hosts.up(3, cards="2x24564", release="bookworm")[2]


@pytest.fixture(scope="module")
def hub(
    boxes: list[LabHost], machine: LabHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The lab's hub over https, which everybody believes; its address."""
    folder = tmp_path_factory.mktemp("hub")
    certificate = folder / "hub.pem"
    make_certificate(certificate, paths.BRIDGE_ADDRESS)
    pem = certificate.read_text()
    public = pem[pem.index("-----BEGIN CERTIFICATE-----") :]
    for host in (*boxes, machine):
        host.ssh(
            "cat > /usr/local/share/ca-certificates/hub.crt && update-ca-certificates && "
            "echo SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt >> /etc/environment",
            input_text=public,
            check=True,
        )
    server = HubServer(
        (paths.BRIDGE_ADDRESS, 0),
        hub_process.root_directory(),
        AccessLog(folder / "access.log"),
        certificate=certificate,
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://{paths.BRIDGE_ADDRESS}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def controller(
    boxes: list[LabHost],
    machine: LabHost,
    hub: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> LabHost:
    """The operator's machine with python3 and pip, a wheel, and the key of the boxes."""
    third = machine
    third.ssh(
        "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends "
        "install python3-pip python3-venv >/dev/null",
        check=True,
    )
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    third.ssh(
        f"base64 --decode > /root/{wheel.name}",
        input_text=base64.b64encode(wheel.read_bytes()).decode(),
        check=True,
    )
    known = ssh.known_hosts_file().read_text()
    third.ssh("mkdir -p -m 700 /root/.ssh && cat > /root/.ssh/known_hosts", input_text=known)
    third.ssh(
        "umask 077; cat > /root/.ssh/id_ed25519", input_text=ssh.key_file().read_text(), check=True
    )
    # What the lab's boxes need beside what init writes: their hub, and the CPU build.
    data = {
        "engine": "0.32.0-cpu",
        "wheel_directory": "/var/lib/lab/wheels",
        "allow_non_nvme": True,
        # What 0.32.0 leaves on cards like these; the CPU has no such share.
        "gpu_memory_utilization": 0.9,
        "hub_endpoint": hub,
        **model_data(boxes[0].choice.model),
    }
    text = "".join(f"{name} = {value!r}\n" for name, value in data.items())
    third.ssh(f"mkdir -p {WORK}/group_data && cat > {WORK}/group_data/all.py", input_text=text)
    return third


def test_two_bare_boxes_answer_after_four_commands(controller: LabHost) -> None:
    addresses = {host.name: host.address for host in hosts.hosts() if host.index < 3}
    shown: list[str] = []

    def told(command: str, code: int = 0) -> str:
        there = f"cd {WORK}; export REQUESTS_CA_BUNDLE={BELIEVED} PATH=/root/try/bin:$PATH"
        ended, lines = run_on_terminal(controller, f"{there}; {command}")
        shown.extend([f"$ {command}", *lines, ""])
        assert ended == code, plain(lines)
        return plain(lines)

    controller.ssh("python3 -m venv /root/try", check=True)
    told("pip install --quiet --disable-pip-version-check /root/fortyninety-*.whl")
    written = told(f"fortyninety init {addresses['lab1']} {addresses['lab2']} --output fleet.py")
    assert "fleet.py" in written
    told("fortyninety doctor fleet.py")
    deployed = told("fortyninety deploy --yes fleet.py")
    assert "ssh -" in deployed
    answered = told('fortyninety ask fleet.py "Say hello."')
    assert "tokens" in answered
    assert not re.search(r"Traceback|Warning", plain(shown))
    if os.environ.get("FORTYNINETY_RECORD") == "docs":
        record(shown, addresses)


def record(shown: list[str], addresses: dict[str, str]) -> None:
    """Write what was printed into the page, with the addresses that documents use."""
    text = plain(shown).strip()
    for number, address in enumerate(addresses.values(), start=11):
        text = text.replace(address, f"192.0.2.{number}")
    page = PAGE.read_text()
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}\n```\n{shortened(text, ON_PAGE)}\n```\n{END}{tail}")
    draw(shortened(text, IN_PICTURE), PICTURE, title="fortyninety: from bare boxes to an answer")
