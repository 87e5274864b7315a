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
    held = host.check_output("apt-mark showhold").split()
    assert "nvidia-cuda-toolkit" in held, (
        "nvidia-cuda-toolkit is not held; expected `apt-mark hold nvidia-cuda-toolkit`"
    )
