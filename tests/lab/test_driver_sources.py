"""The driver from a repository like NVIDIA's: whose key is taken, another branch and back, and what
keeps the driver when apt and unattended upgrades offer a later one.

One story on one host that serves, in the order of this file, and a second on a bare Debian 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import hosts
from lab.hosts import LabHost
from lab.question import ask
from lab.sources import nvidia_repository
from lab.sources.nvidia_repository import Package, Repository, reach_directly
from lab.tiny_model import SENTENCE
from tests.lab.converged_hosts import start_converged
from tests.lab.deploys import Result, deploy, deploy_killed_in, host_tests

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

DRIVER_ALONE = "tests/lab/driver_alone_deploy.py"
KEYRING = "/etc/apt/keyrings/fortyninety-nvidia.gpg"
# What apt would do next, and what unattended upgrades would, which look at every archive here.
APT_WOULD = "apt-get -qq update; apt-get -s dist-upgrade | sed -n 's/^Inst \\([^ ]*\\).*/\\1/p'"
UNATTENDED_WOULD = (
    "unattended-upgrade --dry-run --debug 2>&1 | "
    "sed -n 's/^Packages that will be upgraded: *//p' | tr ' ' '\\n'"
)
DRIVER_550 = {
    "nvidia-kernel-dkms",
    "libcuda1",
    "libnvidia-ml1",
    "libnvidia-ptxjitcompiler1",
    "nvidia-smi",
}


@pytest.fixture(scope="module")
def host(lab: None) -> LabHost:
    """A host that serves on Debian's own driver, and knows unattended upgrades."""
    del lab
    (started,) = start_converged(1)
    reach_directly(started)
    # Before the pins are looked at, as a person would have it: security updates by themselves, and
    # here whatever the lab's repository offers too.
    started.ssh(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq update && DEBIAN_FRONTEND=noninteractive "
        "apt-get -qq -y install --no-install-recommends unattended-upgrades >/dev/null && "
        "echo 'Unattended-Upgrade::Origins-Pattern { \"origin=NVIDIA\"; };' "
        ">/etc/apt/apt.conf.d/60lab-origins",
        check=True,
    )
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    return started


FETCH = "Driver | Fetch the driver where another one is there"


@pytest.fixture(scope="module")
def borrowed(host: LabHost) -> dict[str, bytes]:
    return nvidia_repository.borrow(host)


@pytest.fixture(scope="module")
def repository(
    borrowed: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Repository]:
    """A repository with branch 550, branch 580 and two toolkits."""
    made = Repository(tmp_path_factory.mktemp("nvidia"), "debian13")
    for version in ("550.163.01", "580.126.09"):
        made.add(*nvidia_repository.driver(version, borrowed), borrowed=borrowed)
    made.add(
        nvidia_repository.toolkit("12.4"),
        nvidia_repository.toolkit("13.0"),
        # One that drags a driver along, as `cuda` does.
        nvidia_repository.toolkit("13.5", Depends="cuda-drivers"),
        Package("cuda-drivers", "590.48.01-1"),
    )
    with made.serving():
        yield made


@pytest.fixture(scope="module")
def later_driver(repository: Repository, borrowed: dict[str, bytes]) -> str:
    """A version of branch 580 that comes out after the installed one."""
    version = "580.200.01"
    repository.add(*nvidia_repository.driver(version, borrowed), borrowed=borrowed)
    return version


def from_repository(
    repository: Repository,
    *arguments: str,
    key: str | None = None,
    deploy_file: str = "deploy.py",
) -> Result:
    return deploy(
        *("--data", f"nvidia_repository={repository.address}"),
        *("--data", f"nvidia_repository_key={key or repository.fingerprint}"),
        *(word for argument in arguments for word in ("--data", argument)),
        deploy_file=deploy_file,
    )


def versions(host: LabHost) -> dict[str, str]:
    """Every installed package that may be of a driver, and its version."""
    shown = host.ssh(
        "dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n' '*nvidia*' 'libcuda1'"
    ).stdout
    lines = [line.split(" ") for line in shown.splitlines()]
    return {name: version for status, name, version in lines if status == "installed"}


def would(host: LabHost, command: str) -> set[str]:
    return set(host.ssh(command, check=True).stdout.split())


# --- A driver that the image brings ---------------------------------------------------------------


def test_a_present_driver_is_not_touched(host: LabHost) -> None:
    before = host.ssh("dpkg -l; apt-mark showhold; cat /etc/apt/preferences.d/*").stdout
    ran = deploy("--data", "driver_source=present")
    assert (ran.exit_code, ran.changed) == (0, {}), ran.output
    assert not [name for name in ran.unchanged if "Install driver" in name or "Reboot" in name]
    assert host.ssh("dpkg -l; apt-mark showhold; cat /etc/apt/preferences.d/*").stdout == before


# --- Whose key ------------------------------------------------------------------------------------


def test_a_key_that_is_not_the_expected_one_is_named_and_nothing_is_changed(
    host: LabHost, repository: Repository
) -> None:
    look = f"cat /etc/apt/sources.list.d/*.sources /etc/apt/preferences.d/*; ls {KEYRING}; dpkg -l"
    # gpg itself is brought before a key can be read.
    host.ssh("apt-get -qq -y install gpg >/dev/null", check=True)
    before = host.ssh(look).stdout
    expected = "EB693B3035CD5710E231E123A4B469963BF863CC"
    # The mirror's key under the name of the one that is expected.
    (key,) = repository.root.glob("*.pub")
    (repository.root / "3bf863cc.pub").write_text(key.read_text())
    ran = from_repository(repository, "driver_branch=580", key=expected)
    assert ran.exit_code != 0
    assert f"is {repository.fingerprint};" in ran.output, ran.output
    assert f"expected {expected} alone" in ran.output
    assert host.ssh(look).stdout == before
    assert ask(host, "Say hello.")[1] == SENTENCE


# --- Another branch, and back ---------------------------------------------------------------------


def test_another_driver_is_fetched_while_the_one_that_is_there_goes_on(
    host: LabHost, repository: Repository
) -> None:
    look = "nvidia-smi -L; apt-mark showhold; systemctl show -P InvocationID vllm.service"
    before = versions(host), host.ssh(look, check=True).stdout
    ran = from_repository(repository, "driver_branch=580", deploy_file="prepare.py")
    assert ran.exit_code == 0 and FETCH in ran.changed, ran.output
    fetched = host.ssh("ls /var/cache/apt/archives", check=True).stdout
    assert "nvidia-kernel-open-dkms_580.126.09-1" in fetched, fetched
    assert (versions(host), host.ssh(look, check=True).stdout) == before
    again = from_repository(repository, "driver_branch=580", deploy_file="prepare.py")
    assert (again.exit_code, again.changed) == (0, {}), again.output


def test_branch_580_takes_the_place_of_550_by_one_transaction_and_one_reboot(
    host: LabHost, repository: Repository
) -> None:
    boots = host.boots
    ran = from_repository(repository, "driver_branch=580")
    assert ran.exit_code == 0, ran.output
    assert host.boots == boots + 1, "a change of the driver needs exactly one reboot"
    now = versions(host)
    assert now["nvidia-kernel-open-dkms"] == "580.126.09-1"
    assert now["libnvidia-ptxjitcompiler1"] == "580.126.09-1"
    assert not {name for name, version in now.items() if version.startswith("550.")}
    assert "nvidia-kernel-dkms" not in now, "the modules of the other kind gave way"
    assert "580.126.09" in host.ssh("nvidia-smi", check=True).stdout
    assert host.ssh("dpkg --audit").stdout == ""
    assert host.ssh("apt-get check", check=True).returncode == 0
    assert "release 13.0" in host.ssh("nvcc --version", check=True).stdout
    assert ask(host, "Say hello.")[1] == SENTENCE
    again = from_repository(repository, "driver_branch=580")
    assert (again.exit_code, again.changed) == (0, {}), again.output


@pytest.mark.exhaustive  # after the first deploy tests/host/test_driver_kept.py asks apt itself
def test_a_later_driver_is_left_alone_while_other_packages_are_upgraded(
    host: LabHost, repository: Repository, later_driver: str
) -> None:
    """apt and unattended upgrades are asked themselves, with the pins and without them."""
    del later_driver
    repository.add(Package("lab-ordinary", "1.0"))
    known = host.ssh("apt-get -qq update; apt-cache policy lab-ordinary", check=True).stdout
    assert "Candidate: (none)" in known, "nothing but what is planned comes from the repository"
    # As somebody has it who takes more from there.
    host.ssh(
        "printf 'Package: lab-ordinary\\nPin: release o=NVIDIA\\nPin-Priority: 500\\n' "
        ">/etc/apt/preferences.d/lab-ordinary",
        check=True,
    )
    host.ssh("apt-get -qq -y install lab-ordinary >/dev/null", check=True)
    repository.add(Package("lab-ordinary", "2.0"))
    driver = {name for name, version in versions(host).items() if version.startswith("580.")}
    assert {"libcuda1", "libnvidia-ptxjitcompiler1", "nvidia-driver-cuda"} <= driver

    for asked in (APT_WOULD, UNATTENDED_WOULD):
        upgraded = would(host, asked)
        assert "lab-ordinary" in upgraded
        assert not driver & upgraded

    # Each by itself would do: the pins without the holds, the exceptions without either.
    host.ssh("apt-mark unhold '?installed' >/dev/null", check=True)
    assert not driver & would(host, APT_WOULD)
    host.ssh("mv /etc/apt/preferences.d/fortyninety-driver /root/", check=True)
    assert driver & would(host, APT_WOULD), "without pins and holds apt swaps the driver"
    assert not driver & would(host, UNATTENDED_WOULD)
    host.ssh("mv /etc/apt/apt.conf.d/52fortyninety-driver /root/", check=True)
    assert driver & would(host, UNATTENDED_WOULD), "without any of them so do unattended upgrades"

    ran = from_repository(repository, "driver_branch=580", deploy_file=DRIVER_ALONE)
    assert ran.exit_code == 0, ran.output
    assert not driver & would(host, APT_WOULD)
    found = host_tests("-k", "kept")
    assert found.exit_code == 0, found.output


def test_a_driver_that_was_swapped_in_the_background_comes_back(
    host: LabHost, repository: Repository, later_driver: str
) -> None:
    names = ("libcuda1", "libnvidia-ptxjitcompiler1", "libnvidia-ml1", "nvidia-driver-cuda")
    host.ssh(
        "apt-get -qq update && "
        "apt-get -qq -y --allow-change-held-packages --allow-downgrades install "
        f"{' '.join(f'{name}={later_driver}-1' for name in names)} >/dev/null",
        check=True,
    )
    assert "version mismatch" in host.ssh("nvidia-smi").stdout
    ran = from_repository(repository, "driver_branch=580")
    assert ran.exit_code == 0, ran.output
    assert host.ssh("nvidia-smi").returncode == 0
    assert versions(host)["libcuda1"] == "580.126.09-1"


def test_a_toolkit_that_would_bring_a_driver_along_is_refused(
    host: LabHost, repository: Repository
) -> None:
    before = versions(host)
    ran = from_repository(repository, "driver_branch=580", 'cuda_version="13.5"')
    assert ran.exit_code != 0
    assert "cuda-toolkit-13-5 would install or remove" in ran.output, ran.output
    assert versions(host) == before


@pytest.mark.exhaustive  # runs are cut in test_deploy; a change of the driver is made above
def test_a_change_cut_off_in_the_middle_converges_on_the_next_run_and_550_is_back(
    host: LabHost,
) -> None:
    boots = host.boots
    deploy_killed_in("Driver | Install driver 550")
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert host.boots == boots + 1
    now = versions(host)
    assert {now[name] for name in DRIVER_550} == {"550.163.01-2"}
    # The helper that makes device nodes goes with any driver; apt does not go back by itself.
    left = {name for name, version in now.items() if version.startswith("580.")}
    assert left <= {"nvidia-modprobe"}
    assert "release 12.4" in host.ssh("nvcc --version", check=True).stdout
    assert "550.163.01" in host.ssh("nvidia-smi", check=True).stdout
    assert host.ssh("dpkg --audit").stdout == ""
    assert ask(host, "Say hello.")[1] == SENTENCE
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output


# --- Debian 12, from bare -------------------------------------------------------------------------


@pytest.mark.exhaustive
def test_a_bare_debian_12_gets_driver_and_toolkit_from_the_repository(
    host: LabHost, tmp_path: Path
) -> None:
    hosts.down([host.name])
    (bare,) = hosts.up(1, release="bookworm")
    reach_directly(bare)
    borrowed = nvidia_repository.borrow(bare)
    repository = Repository(tmp_path, "debian12", port=8092)
    repository.add(*nvidia_repository.driver("550.163.01", borrowed), borrowed=borrowed)
    # Without pins these would be taken: Debian's packages do not name their branch.
    repository.add(*nvidia_repository.driver("580.126.09", borrowed), borrowed=borrowed)
    repository.add(nvidia_repository.toolkit("12.4"))
    with repository.serving():
        ran = from_repository(repository, deploy_file=DRIVER_ALONE)
        assert ran.exit_code == 0, ran.output
        assert "550.163.01" in bare.ssh("nvidia-smi", check=True).stdout
        installed = versions(bare)
        assert installed["libcuda1"] == installed["libnvidia-ptxjitcompiler1"] == "550.163.01-1"
        assert "release 12.4" in bare.ssh("nvcc --version", check=True).stdout
        again = from_repository(repository, deploy_file=DRIVER_ALONE)
        assert (again.exit_code, again.changed) == (0, {}), again.output
    found = host_tests("-k", "kept")
    assert found.exit_code == 0, found.output
