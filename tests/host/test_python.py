"""The interpreter that the engine runs on."""

from __future__ import annotations

import shlex

import pytest
from testinfra.host import Host

from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from tests.host import packages
from tests.host.live_process import LiveProcess
from tests.host.read_before import ReadBefore


@pytest.fixture(scope="session")
def interpreter(host: Host, process: LiveProcess) -> str:
    """The file that the environment's `python` is in the end, for the next start."""
    return str(host.check_output(f"realpath {shlex.quote(process.directory)}/bin/python"))


def test_the_engine_runs_on_the_python_of_its_card(
    host: Host, process: LiveProcess, release: Release
) -> None:
    """Its lock was resolved for that Python: with another one, wheels are missing."""
    version = host.run(f"{process.directory}/bin/python --version").stdout.strip()
    assert version.startswith(f"Python {release.python}."), (
        f"the engine's interpreter is {version or 'gone'}; expected Python {release.python}. "
        "Deploy again; if that does not help, remove the environment's folder first"
    )


def test_the_running_interpreter_is_the_environments(
    process: LiveProcess, interpreter: str
) -> None:
    """What was changed or removed under a running engine shows at its next start."""
    running = process.main["executable"]
    assert running == interpreter, (
        f"the process runs {running}, its environment's python is {interpreter}; expected the "
        "same. Deploy again, or restart vllm.service"
    )


def test_the_interpreter_is_its_packages_own(
    host: Host, before: ReadBefore, settings: Settings, release: Release, interpreter: str
) -> None:
    """An interpreter that was swapped can do anything, in the engine's name."""
    if interpreter.startswith(f"{settings.install_directory}/pythons/"):
        return  # uv's build, which is of no package.
    owner = packages.owner(host, interpreter)
    assert owner and owner.startswith(f"python{release.python}"), (
        f"the engine's interpreter is {interpreter}, of {owner or 'no package'}; expected "
        f"python{release.python}. Deploy again"
    )
    names = [owner, *(f"libpython{release.python}-{part}" for part in ("minimal", "stdlib"))]
    changed = packages.changed_files(host, before, names)
    assert not changed, (
        f"files of Python are not as their packages brought them:\n{changed}\n"
        f"Run `apt-get install --reinstall {' '.join(names)}`"
    )


def test_the_interpreter_begins_with_nobodys_code(
    host: Host, settings: Settings, release: Release, interpreter: str
) -> None:
    """What sitecustomize.py says runs before the engine's first line, at every start."""
    if interpreter.startswith(f"{settings.install_directory}/pythons/"):
        return  # uv's build has no configuration of the host's.
    changed = packages.changed_configuration(
        host, [f"libpython{release.python}-{part}" for part in ("minimal", "stdlib")]
    )
    assert not changed, (
        f"{', '.join(changed)} is not as Python's package brought it; expected no code but the "
        "package's to run at Python's start. Look at what was added, remove the file, and "
        f"`apt-get install --reinstall -o Dpkg::Options::=--force-confmiss "
        f"libpython{release.python}-minimal`"
    )


def test_the_environment_sees_its_own_packages_alone(
    host: Host, process: LiveProcess, settings: Settings
) -> None:
    """With the system's packages or somebody's folder in reach, another torch may be imported."""
    script = "import sys; print(*sys.path, sep=chr(10))"
    # As the service imports: with its variables, and not with those of this login.
    own = {
        name: value
        for name, value in process.environment.items()
        if name.startswith(("PYTHON", "LD_")) or name == "HOME"
    }
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in own.items())
    python = f"{process.directory}/bin/python"
    asked = host.run(f"cd / && env --ignore-environment {words} {python} -c {shlex.quote(script)}")
    folders = [line for line in asked.stdout.splitlines() if line]
    base = host.run(f"sed -n 's/^home = //p' {process.directory}/pyvenv.cfg").stdout.strip()
    prefix = base.removesuffix("/bin")
    strangers = [
        folder
        for folder in folders
        if not folder.startswith(f"{process.directory}/")
        and not (folder.startswith(f"{prefix}/lib/python") and "packages" not in folder)
        # What keeps tenants apart: test_tenants.py holds it to this project's.
        and folder != f"{settings.install_directory}/bin/tenants"
    ]
    assert folders and not strangers, (
        f"the engine imports from {', '.join(strangers) or 'nowhere'} as well; expected its "
        f"environment {process.directory} and Python's own library alone. Look at its pyvenv.cfg, "
        "its .pth files and PYTHONPATH"
    )


def test_kernels_can_be_compiled_at_run_time(
    host: Host, process: LiveProcess, release: Release
) -> None:
    """Triton and torch compile at the first request, and fail there without compiler or headers."""
    include = host.run(
        f"{process.directory}/bin/python -c "
        "'import sysconfig; print(sysconfig.get_path(\"include\"))'"
    ).stdout.strip()
    compiled = host.run(
        "printf '#include <Python.h>\\nint main(void) { return 0; }' | "
        f"cc -x c -fsyntax-only -I {shlex.quote(include)} -"
    )
    assert compiled.rc == 0, (
        f"no C program with {include}/Python.h compiles: "
        f"{compiled.stderr.strip().splitlines()[0]}; expected gcc, libc6-dev and "
        f"python{release.python}-dev. Deploy again"
    )
