"""A reset host differs from the bare one in nothing but what the command said it leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fortyninety.checkout import ROOT
from lab import hosts
from lab.hosts import LabHost
from tests.lab.converged_hosts import TWO_CARDS, start_converged_with_two_cards
from tests.lab.deploys import LAB_INVENTORY, deploy
from tests.lab.host_state import differences, state_of

# In what any two hosts of one image differ, and what a reset says that it leaves.
OF_EVERY_HOST = [
    # Its name, keys and identity, its clock and random seed, its cards.
    r" \./etc/(hostname|hosts|machine-id|ssh/ssh_host_\w+_key(\.pub)?|resolv\.conf) ",
    r" \./var/lib/(dbus/machine-id|lab/\S*|systemd/\S*) ",
    # Logs, and apt's lists and archives.
    r" \./var/log(/\S*)? ",
    r" \./var/(cache|lib)/apt(/\S*)? ",
    r" \./root/\.ssh\S* ",
    # What a timer of dpkg's keeps of its files, each midnight.
    r" \./var/backups/\S* ",
    # What the imitated cards have the linker look at, in an initramfs made since.
    r"^in boot/initrd\S* etc/ld\.so\.conf\.d/00-lab-gpu\.conf$",
    # When systemd last saw /usr changed.
    r" \./(etc|var)/\.updated ",
    # What systemd makes anew at each boot, and an initramfs of another time: what is in it counts.
    r" \./var/tmp/systemd-private-\S* ",
    r"^file \./boot/initrd\.img-\S* ",
]
OF_ITS_PAST = [
    # What dpkg, debconf and the account tools keep of what was there: backups and indexes.
    r" \./var/lib/dpkg(/\S*)? ",
    r" \./var/cache(/\S*)? ",
    r" \./etc/(passwd|group|shadow|gshadow|subuid|subgid)-? ",
    r" \./etc/\.pwd\.lock ",
    r" \./etc/ld\.so\.cache ",
    # What packages leave when they go.
    r"^(account|group) nvpd:",
    r" \./var/lib/dkms(/mok\.(key|pub))? ",
]


def reset(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command on lab1; its exit code and its result."""
    ran = subprocess.run(
        reset_command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.startswith("{"), ran.stderr
    page = json.loads(ran.stdout)
    assert page["result"] is not None, page
    return ran.returncode, page["result"]["hosts"][0]


def reset_command(*arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "fortyninety", "reset", LAB_INVENTORY),
        *("--limit", "lab1", "--yes", "--json", *arguments),
    ]


@pytest.fixture(scope="module")
def bare(lab: None) -> set[str]:
    """What a host of the same image is made of, on which nothing was deployed."""
    del lab
    (host,) = hosts.up(1, cards=TWO_CARDS)
    found = state_of(host)
    hosts.down([host.name])
    return found


@pytest.fixture
def served(bare: set[str]) -> Iterator[LabHost]:
    """A host as a deploy left it."""
    del bare
    (host,) = start_converged_with_two_cards(1)
    yield host
    hosts.down([host.name])


def assert_as_bare(host: LabHost, bare: set[str]) -> None:
    """It differs from the bare one in nothing but what the command said it leaves."""
    found = differences(bare, state_of(host), [*OF_EVERY_HOST, *OF_ITS_PAST])
    assert not found, "\n".join(found)


def test_a_reset_host_is_as_it_was_but_for_what_is_said(served: LabHost, bare: set[str]) -> None:
    """What stays behind decides later, unseen, what the next owner's packages do."""
    code, done = reset()
    assert (code, done["error"]) == (0, None), done
    assert_as_bare(served, bare)
    said = " / ".join(done["leaves"])
    assert all(each in said for each in ("logs", "apt's lists", "nvpd", "/var/lib/dkms")), said
    # An operator who is not sure asks twice.
    code, done = reset()
    assert (code, done["removes"]) == (0, []), done


@pytest.mark.exhaustive  # what a reset takes is compared with the bare host above
def test_a_reset_that_keeps_the_model_and_the_driver_keeps_them(served: LabHost) -> None:
    """Who wants the disk's 40 GB or the driver again would fetch and reboot for nothing."""
    code, done = reset("--keep-model", "--keep-driver")
    assert (code, done["error"]) == (0, None), done
    said = served.ssh("nvidia-smi -L; apt-mark showhold; ls -d /srv/models/*/current", check=True)
    assert "GeForce RTX 4090" in said.stdout and "nvidia-kernel-dkms" in said.stdout
    assert served.ssh("ls /opt/fortyninety").returncode != 0
    again = reset("--keep-model", "--keep-driver")
    assert again[1]["removes"] == []


@pytest.mark.exhaustive  # an ended reset finds nothing above
def test_a_reset_host_deploys_again(served: LabHost) -> None:
    """A reset that leaves half of something would stop the next deploy there."""
    code, done = reset()
    assert code == 0, done
    ran = deploy("--limit", "lab1")
    assert ran.exit_code == 0, ran.output
    assert served.ssh("nvidia-smi -L; systemctl is-active vllm", check=True)


# What runs on a host in the middle of a reset: the removal of an environment, and of packages.
MOMENTS = ["[r]m -rf --one-file-system -- /.*/engines", "[d]pkg .*--(remove|purge)"]


def begin_reset_until(moment: str, host: LabHost) -> subprocess.Popen[bytes]:
    """A reset under way, at the moment at which such a process runs on the host."""
    process = subprocess.Popen(
        reset_command(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    host.ssh(f"until pgrep -f '{moment}' >/dev/null; do :; done", timeout=300, check=True)
    return process


@pytest.mark.exhaustive  # an ended reset finds nothing above
@pytest.mark.parametrize("power_fails", [False, True], ids=["killed", "power"])
@pytest.mark.parametrize("moment", MOMENTS, ids=["folders", "packages"])
def test_a_reset_that_was_cut_is_gone_on_with(
    moment: str, power_fails: bool, served: LabHost, bare: set[str]
) -> None:
    """A laptop's lid closes, or the power fails, in the middle of it."""
    with begin_reset_until(moment, served) as process:
        if power_fails:
            served.cut_power()
        process.send_signal(signal.SIGKILL)
    if power_fails:
        served.start()
    code, done = reset()
    assert (code, done["error"]) == (0, None), done
    assert done["removes"]
    assert_as_bare(served, bare)


@pytest.mark.exhaustive  # an ended reset finds nothing above
def test_a_removal_of_packages_that_dies_is_said_and_gone_on_with(
    served: LabHost, bare: set[str]
) -> None:
    """Out of memory, or somebody who ends it: dpkg refuses everything until it is repaired."""
    with begin_reset_until(MOMENTS[1], served) as process:
        served.ssh("pkill -9 -x dpkg", check=True)
        assert process.stdout is not None
        page = json.loads(process.stdout.read())
    assert process.returncode == 1
    (host,) = page["result"]["hosts"]
    assert host["error"] is not None and not host["done"], host
    code, done = reset()
    assert (code, done["error"]) == (0, None), done
    assert_as_bare(served, bare)


@pytest.mark.exhaustive  # an ended reset finds nothing above
def test_a_deploy_brings_back_what_a_cut_reset_took(served: LabHost) -> None:
    """Who thinks better of it need not end the reset first."""
    with begin_reset_until(MOMENTS[1], served) as process:
        served.cut_power()
        process.send_signal(signal.SIGKILL)
    served.start()
    ran = deploy("--limit", "lab1")
    assert ran.exit_code == 0, ran.output
    assert served.ssh("nvidia-smi -L; systemctl is-active vllm", check=True)
