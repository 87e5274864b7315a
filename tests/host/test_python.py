"""The interpreter that the engine runs on."""

from testinfra.host import Host

from fortyninety.engine_card import EngineCard
from tests.host.live_process import environment_directory


def test_the_engine_runs_on_the_python_of_its_card(host: Host, card: EngineCard) -> None:
    """Its lock was resolved for that Python: with another one, wheels are missing."""
    version = host.check_output(f"{environment_directory(host)}/bin/python --version")
    assert version.startswith(f"Python {card.python}."), (
        f"the engine's interpreter is {version}; expected Python {card.python}. Deploy again"
    )


def test_kernels_can_be_compiled_at_run_time(host: Host, card: EngineCard) -> None:
    """Triton and torch compile at the first request, and fail there without compiler or headers."""
    include = host.check_output(
        f"{environment_directory(host)}/bin/python -c "
        "'import sysconfig; print(sysconfig.get_path(\"include\"))'"
    )
    assert host.file(f"{include}/Python.h").exists, (
        f"no {include}/Python.h; expected the package python{card.python}-dev"
    )
    assert host.run("cc --version").rc == 0, "no C compiler; expected the package gcc"
