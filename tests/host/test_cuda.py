"""The CUDA toolkit."""

from testinfra.host import Host

from fortyninety.settings import Settings


def test_nvcc_is_of_the_wanted_cuda_version(host: Host, settings: Settings) -> None:
    """Kernels that are compiled on the host with another CUDA do not run in the engine."""
    shown = host.run("nvcc --version")
    assert f"release {settings.cuda_version}," in shown.stdout, (
        f"nvcc says {shown.stdout.strip() or shown.stderr.strip()!r}; expected release "
        f"{settings.cuda_version}. Deploy again"
    )


def test_the_toolkit_is_held_against_upgrades(host: Host) -> None:
    """A toolkit that changes overnight no longer fits the engine's wheels."""
    installed = host.check_output(
        "dpkg-query -W -f '${db:Status-Status} ${Package}\\n' nvidia-cuda-toolkit 'cuda-toolkit-*' "
        "2>/dev/null | sed -n 's/^installed //p'"
    ).split()
    held = host.check_output("apt-mark showhold").split()
    assert set(installed) & set(held), (
        f"none of {', '.join(installed) or 'no toolkit'} is held; expected `apt-mark hold` of the "
        "toolkit. Deploy again"
    )
