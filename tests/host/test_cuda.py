"""The CUDA toolkit."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host import packages
from tests.host.packages import Package
from tests.host.read_before import ReadBefore

# What nvcc runs or links; of the many libraries with it the engine's wheels have their own.
COMPILER = (
    *("nvidia-cuda-toolkit", "libcudart", "libnvrtc", "libnvvm", "libnvjitlink"),
    *("cuda-nvcc", "cuda-nvvm", "cuda-crt", "cuda-cudart"),
)


@pytest.fixture(scope="session")
def toolkit_packages(host: Host) -> list[Package]:
    """The installed packages of the toolkit's compiler."""
    found = packages.installed(host, packages.TOOLKIT_SOURCES)
    assert found, "no package of the CUDA toolkit is installed; expected one. Deploy again"
    return found


def test_nvcc_is_of_the_wanted_cuda_version(host: Host, settings: Settings) -> None:
    """Kernels that are compiled on the host with another CUDA do not run in the engine."""
    shown = host.run("bash -lc 'command -v nvcc && nvcc --version'")
    assert f"release {settings.cuda_version}," in shown.stdout, (
        f"nvcc says {shown.stdout.strip() or shown.stderr.strip()!r}; expected release "
        f"{settings.cuda_version}. Remove what is first on the path, or deploy again"
    )


def test_nvcc_is_the_toolkits_own(host: Host, toolkit_packages: list[Package]) -> None:
    """An nvcc of somebody's own earlier on the path is what compiles, whatever it says it is."""
    path = host.check_output("bash -lc 'command -v nvcc || true'") or "/usr/bin/nvcc"
    owner = packages.owner(host, path)
    assert owner in {each.name for each in toolkit_packages}, (
        f"nvcc is {path}, of {owner or 'no package'}; expected the toolkit's. Remove it"
    )


def test_the_compilers_files_are_those_of_its_packages(
    host: Host, before: ReadBefore, toolkit_packages: list[Package]
) -> None:
    """A compiler that was swapped compiles something else."""
    names = [each.name for each in toolkit_packages if each.name.startswith(COMPILER)]
    changed = packages.changed_files(host, before, names)
    assert not changed, (
        f"files of the toolkit are not as their packages brought them:\n{changed}\n"
        "Find out who changed them, then `apt-get install --reinstall` their packages"
    )


def test_an_upgrade_leaves_the_toolkit_alone(host: Host, toolkit_packages: list[Package]) -> None:
    """A toolkit that changes overnight no longer fits the engine's wheels."""
    # What follows from the compiler's own package follows it.
    named = [
        each for each in toolkit_packages if "toolkit" in each.name and each.name[-4:] != "-doc"
    ]
    taken = packages.taken_by_an_upgrade(host, named)
    left_open = {
        "nvidia-cuda-toolkit",
        *(each.name for each in named if "cuda-toolkit-" in each.name),
    }
    assert not left_open & set(taken), (
        f"a newer revision of {', '.join(taken)} would be taken by `apt-get dist-upgrade`; "
        "expected it to be held or pinned. Deploy again, or `apt-mark hold` it"
    )


def test_unattended_upgrades_leave_the_toolkit_alone(
    host: Host, toolkit_packages: list[Package]
) -> None:
    """At four in the morning nobody is there to see that kernels no longer compile."""
    named = [each for each in toolkit_packages if each.name == "nvidia-cuda-toolkit"]
    taken = packages.taken_unattended(host, named)
    assert not taken, (
        f"unattended-upgrades may replace {', '.join(taken)}; expected each to be held, or on "
        "Unattended-Upgrade::Package-Blacklist. Deploy again"
    )
