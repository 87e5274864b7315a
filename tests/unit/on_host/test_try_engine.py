"""The trial of an engine as on a GPU: what it is told of the card, and how it names what lacks.

The engine and Triton are small packages here, which ask the two libraries as the real ones do.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fortyninety.on_host import build_environment, try_engine

PLATFORMS = """
import ctypes

nvml = ctypes.CDLL("libnvidia-ml.so.1")
major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_uint()
nvml.nvmlInit_v2()
nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
nvml.nvmlDeviceGetCudaComputeCapability(None, ctypes.byref(major), ctypes.byref(minor))


class current_platform:
    is_cuda = staticmethod(lambda: (count.value, major.value, minor.value) == (1, 8, 9))
"""
DRIVER = """
import ctypes


class CudaDriver:
    def __init__(self):
        found = ctypes.CDLL("libcuda.so.1").cuInit(0)
        assert found == 100, f"cuInit says {found}"


CudaLauncher = lambda source, metadata: None
"""
TRITON = {
    "__init__": "from . import compiler, runtime\njit = lambda function: function\n"
    "compile = lambda source, target: source\n",
    "compiler": "class ASTSource:\n    metadata = None\n    __init__ = lambda *a, **k: None\n",
    "runtime": "class driver:\n    set_active = staticmethod(lambda active: None)\n",
    "backends/__init__": "",
    "backends/compiler": "GPUTarget = lambda *words: words\n",
    "backends/nvidia/__init__": "",
    "backends/nvidia/driver": DRIVER,
}
HEADER = """
#define cuMemAlloc __CUDA_API_PTDS(cuMemAlloc_v2)
CUresult CUDAAPI cuInit(unsigned int Flags);
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that every python started here imports from, with an engine and a Triton."""
    modules = {
        "vllm/__init__": "",
        "vllm/platforms": PLATFORMS,
        "vllm/worker": "import compiles_at_run_time\n",
        **{f"triton/{name}": text for name, text in TRITON.items()},
    }
    for name, text in modules.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    header = tmp_path / "triton/backends/nvidia/include/cuda.h"
    header.parent.mkdir()
    header.write_text(HEADER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def tried(*modules: str) -> subprocess.CompletedProcess[str]:
    arguments = [f"--module={name}" for name in modules]
    return subprocess.run(
        [sys.executable, try_engine.__file__, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_imports_passes_and_says_nothing(site: Path) -> None:
    (site / "compiles_at_run_time.py").touch()
    done = tried("vllm.worker")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_package_that_only_a_gpu_needs_is_named_with_the_module_that_imports_it(
    site: Path,
) -> None:
    done = tried("vllm.worker")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "vllm.worker cannot be imported as it is on a GPU (ModuleNotFoundError: No module named "
        "'compiles_at_run_time')"
    )


def test_a_module_that_ends_the_process_is_named_as_well(site: Path) -> None:
    (site / "compiles_at_run_time.py").write_text("raise SystemExit('no such card')\n")
    assert "vllm.worker cannot be imported" in tried("vllm.worker").stderr
    (site / "compiles_at_run_time.py").write_text("import os; os.kill(os.getpid(), 11)\n")
    assert "killed by SIGSEGV" in tried("vllm.worker").stderr


def test_a_driver_interface_that_does_not_answer_is_what_triton_says(site: Path) -> None:
    (site / "triton/backends/nvidia/driver.py").write_text(DRIVER.replace("100", "0"))
    assert tried().stderr.strip() == (
        "Triton compiles no kernel on this host (AssertionError: cuInit says 100)"
    )


def test_without_a_compiler_the_package_to_install_is_named(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(site))
    assert "install gcc" in tried().stderr


def test_what_a_package_starts_as_it_is_imported_ends_with_the_trial(site: Path) -> None:
    pid = site / "pid"
    (site / "compiles_at_run_time.py").write_text(
        "import pathlib, subprocess\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(subprocess.Popen(['sleep', '600']).pid))\n"
    )
    assert tried("vllm.worker").returncode == 0
    # What was killed dies when it gets a core, far sooner than it would end by itself.
    until = time.monotonic() + 50
    while not _is_over(int(pid.read_text())):
        assert time.monotonic() < until
        time.sleep(0.01)


def _is_over(process: int) -> bool:
    """Whether a process is gone, or nobody has waited for it yet."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
    return status.rsplit(")", 1)[1].split()[0] == "Z"


def test_a_build_gets_no_mark_where_the_trial_fails(site: Path) -> None:
    options = argparse.Namespace(
        directory=sys.prefix,
        uv=str(Path(sys.executable).parent / "uv"),
        distribution="pytest",
        version=importlib.metadata.version("pytest"),
        module="pytest",
        left_out=[],
        trial=try_engine.__file__,
        gpu_module=["vllm.worker"],
    )
    with pytest.raises(build_environment.Failure, match="'compiles_at_run_time'"):
        build_environment.try_out(options)
    (site / "compiles_at_run_time.py").touch()
    build_environment.try_out(options)
