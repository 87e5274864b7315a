"""`fortyninety drift` on a real host: it sees what changed, says it, and touches nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lab import stages
from lab.hosts import LabHost
from tests.lab.deploys import LAB_INVENTORY, deploy, write_inventory

pytestmark = pytest.mark.lab

# Everything that a deploy could write to, with the time of each last change, and the boot.
FINGERPRINT = (
    "{ find /etc /opt /srv /usr /var/lib/dpkg /var/lib/systemd /boot /root -xdev "
    "-printf '%p %C@\\n' | sort; cat /proc/sys/kernel/random/boot_id; "
    "systemctl show -P MainPID vllm.service; } | sha256sum"
)


def drift(*arguments: str, inventory: str = LAB_INVENTORY) -> subprocess.CompletedProcess[str]:
    return stages.fortyninety("drift", inventory, *arguments)


def test_a_host_as_a_deploy_left_it_shows_nothing(converged: LabHost) -> None:
    ran = drift("--limit", converged.name)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout == f"{converged.name}: up to date\n"


def test_what_changed_is_said_without_its_secrets_and_nothing_is_touched(
    converged: LabHost,
) -> None:
    converged.ssh(
        "nvidia-smi --id=0 --power-limit=300; "
        "sed -i 's/^User=/Environment=VLLM_API_KEY=sk-a-secret-of-this-test\\n&/' "
        "/etc/systemd/system/vllm.service",
        check=True,
    )
    before = converged.ssh(FINGERPRINT, check=True).stdout
    ran = drift("--limit", converged.name, "--json")
    assert converged.ssh(FINGERPRINT, check=True).stdout == before
    assert ran.returncode == 3, ran.stdout + ran.stderr
    (host,) = json.loads(ran.stdout)["result"]["hosts"]
    said = {each["operation"]: each["differences"] for each in host["changes"]}
    assert said["Write the unit"] == ["/etc/systemd/system/vllm.service has another content"]
    assert any("GPU 0" in line and "300" in line for line in said["Cap every card at 400 W"]), said
    assert "sk-a-secret-of-this-test" not in ran.stdout + ran.stderr
    assert deploy().exit_code == 0
    assert drift("--limit", converged.name).returncode == 0


def test_a_host_that_refuses_the_key_is_said_and_the_others_are_looked_at(
    converged: LabHost, tmp_path: Path
) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True
    )
    inventory = write_inventory(
        tmp_path,
        "from lab.inventory import inventory\n"
        f"_known = [each for each in inventory() if each[0] == {converged.name!r}]\n"
        f"lab = [*_known, ('other', {{**_known[0][1], 'ssh_key': {str(tmp_path / 'key')!r}}})]\n",
    )
    ran = drift(inventory=inventory)
    assert ran.returncode == 2
    assert f"{converged.name}: up to date" in ran.stdout
    assert "other: login is refused for root with the key " in ran.stderr
