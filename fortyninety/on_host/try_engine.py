#!/usr/bin/env python3
"""Import what an engine imports when it starts on a GPU, and leave the host's own GPUs alone.

A release can import on a host and still die as it starts on a GPU, because much of it is imported
only there. This program tells the engine that there is an RTX 4090, by two libraries that it makes
in a temporary folder: a libnvidia-ml that answers for one, and a libcuda of which every function
says that there is none. So nothing runs on a GPU, and what serves meanwhile keeps its memory. Then
it imports the modules that it is given, one after another, and has Triton compile a kernel and its
launcher with the host's compiler and headers.

Run it with the engine's own python. Exit code 0 where everything imports, 1 with the module and the
cause on standard error.

    <environment>/bin/python try-engine --module vllm.worker.worker --module triton
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# The card that the engine is told of: sm_89 and 24,564 MiB, which are an RTX 4090's.
CAPABILITY = (8, 9)
NVML = r"""
#include <stdio.h>
struct memory { unsigned long long total, free, used; };
int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card) { *card = (void *)1; return 0; }
int nvmlDeviceGetCudaComputeCapability(void *card, int *major, int *minor)
{ *major = 8; *minor = 9; return 0; }
int nvmlDeviceGetName(void *card, char *name, unsigned size)
{ snprintf(name, size, "NVIDIA GeForce RTX 4090"); return 0; }
int nvmlDeviceGetUUID(void *card, char *uuid, unsigned size)
{ snprintf(uuid, size, "GPU-00000000-0000-0000-0000-000000000000"); return 0; }
int nvmlDeviceGetMemoryInfo(void *card, struct memory *memory)
{ memory->total = memory->free = 24564ull << 20; memory->used = 0; return 0; }
"""
# CUDA_ERROR_NO_DEVICE of cuda.h, what cuInit says on a host without a GPU.
NO_DEVICE = 100
# A function's declaration in cuda.h, and the name that a macro there gives to one.
DECLARED = re.compile(r"CUDAAPI\s+(cu\w+)\s*\(")
RENAMED = re.compile(r"^\s*#\s*define\s+cu\w+\s+(?:__CUDA_API_\w+\()?(cu\w+)", re.MULTILINE)


class Failure(Exception):
    """Why the engine would not start on a GPU, for the operator."""


def compiler() -> str:
    """The C compiler that Triton would take. Raises Failure where there is none."""
    # Source: triton/runtime/build.py, the same in 3.0, 3.2 and 3.7.
    found = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise Failure("no C compiler, and Triton compiles as the engine runs; install gcc")
    return found


def cuda_functions() -> list[str]:
    """Every function of the CUDA driver's interface, as the cuda.h that Triton brings has them."""
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        raise Failure("triton is not installed, and the engine runs its kernels by it")
    header = Path(spec.origin).parent / "backends/nvidia/include/cuda.h"
    text = header.read_text()
    names = sorted({*DECLARED.findall(text), *RENAMED.findall(text)})
    if "cuInit" not in names:
        raise Failure(f"{header} declares no cuInit; expected the CUDA driver's interface")
    return names


def make_libraries(directory: Path) -> None:
    """Compile the two libraries that stand for a driver into `directory`. Raises Failure."""
    cuda = "".join(f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in cuda_functions())
    for name, source in (("libcuda.so.1", cuda), ("libnvidia-ml.so.1", NVML)):
        command = [compiler(), "-w", "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{name}"]
        done = subprocess.run(
            [*command, "-o", str(directory / name)],
            input=source,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failure(f"{command[0]} makes no library here: {done.stderr.strip()}")
    # What `-lcuda` looks for.
    (directory / "libcuda.so").symlink_to("libcuda.so.1")


def environment(directory: Path) -> dict[str, str]:
    """The variables under which those libraries are found, and no file is left on the host."""
    cache = str(directory / "cache")
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(directory),
        "TRITON_LIBCUDA_PATH": str(directory),
        "TRITON_CACHE_DIR": cache,
        "HOME": cache,
        "XDG_CACHE_HOME": cache,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }


def import_all(modules: list[str]) -> None:
    """Import every module, told that there is a GPU. Raises Failure with the first that fails."""
    platform = importlib.import_module("vllm.platforms").current_platform
    if not platform.is_cuda():
        raise Failure(
            f"the engine takes the host for {type(platform).__name__}; expected a platform with "
            "CUDA where a library answers for a GPU"
        )
    for module in modules:
        try:
            importlib.import_module(module)
        # SystemExit as well: some packages end the process where they do not like what they find.
        except (Exception, SystemExit) as error:
            raise Failure(
                f"{module} cannot be imported as it is on a GPU ({in_words(error)})"
            ) from error


def compile_kernel() -> None:
    """Have Triton compile a kernel for the card and a launcher for the host. Raises Failure."""
    import triton  # type: ignore[import-not-found]  # noqa: PLC0415 - of the engine alone
    from triton.backends.compiler import (  # type: ignore[import-not-found]  # noqa: PLC0415
        GPUTarget,
    )
    from triton.backends.nvidia.driver import (  # type: ignore[import-not-found]  # noqa: PLC0415
        CudaDriver,
        CudaLauncher,
    )
    from triton.compiler import ASTSource  # type: ignore[import-not-found]  # noqa: PLC0415

    try:
        # Compiles Triton's own part that talks to the driver, and imports it.
        triton.runtime.driver.set_active(CudaDriver())
        source = ASTSource(fn=triton.jit(nothing), signature={"pointer": "*fp32"})
        target = GPUTarget("cuda", CAPABILITY[0] * 10 + CAPABILITY[1], 32)
        CudaLauncher(source, triton.compile(source, target=target).metadata)
    except (Exception, SystemExit) as error:
        raise Failure(f"Triton compiles no kernel on this host ({in_words(error)})") from error


def in_words(error: BaseException) -> str:
    """The error's kind and message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


# Triton's language takes no annotation but its own.
def nothing(pointer) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Do nothing: a kernel of Triton's language."""


def try_out(modules: list[str]) -> None:
    """Import and compile in a process of its own under the libraries. Raises Failure."""
    with tempfile.TemporaryDirectory(prefix="fortyninety-try-") as folder:
        directory = Path(folder)
        make_libraries(directory)
        reasons = directory / "reasons"
        with reasons.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, __file__, "--inside", *(f"--module={name}" for name in modules)],
                # Away from every working directory: none of its modules may be imported.
                cwd="/",
                env=environment(directory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                start_new_session=True,
            )
            code = process.wait()
        # A package of 0.32.0 (humming) starts compilers of its own as it is imported.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        said = reasons.read_text(errors="replace").strip().splitlines()
    if code < 0:
        raise Failure(f"killed by {signal.Signals(-code).name} as it was imported")
    if code != 0:
        # What the engine and its packages print stands before it.
        raise Failure(said[-1] if said else f"exit code {code} and no reason given")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--module", action="append", default=[], help="one that must import")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.inside:
            import_all(options.module)
            compile_kernel()
        else:
            try_out(options.module)
    except (Failure, OSError) as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
