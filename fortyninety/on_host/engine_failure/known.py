"""List the failures whose remedy is known, by what they are about."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """An error whose remedy is known. `source` says where its words and the remedy come from."""

    pattern: str
    remedy: str
    source: str


PROCESSOR = (
    Known(
        r"FP8 KV cache on CPU requires x86 with AVX-512",
        'This processor has no AVX-512: set kv_cache_dtype = "auto".',
        "vLLM 0.32.0, vllm/v1/attention/backends/cpu_attn.py; run on an AVX2 processor",
    ),
    Known(
        r"has no attribute 'cpu_gemm_wna16'",
        "The CPU build multiplies AWQ weights with AVX-512 alone: serve a checkpoint that is not "
        "quantized on this processor.",
        "vLLM 0.32.0, vllm/_custom_ops.py; run on an AVX2 processor",
    ),
)
CARD_MEMORY = (
    Known(
        r"No available memory for the cache blocks",
        "Weights and activations leave nothing for the KV cache: lower max_num_batched_tokens, "
        "take more cards or a smaller checkpoint. `fortyninety fit` shows the arithmetic.",
        "measured with 0.8.5.post1 and 0.24.0",
    ),
    Known(
        r"KV cache is needed, which is larger than the available KV cache memory"
        r"|larger than the maximum number of tokens that can be stored in KV cache",
        "Lower max_model_len to what fits. `fortyninety fit` shows the arithmetic.",
        "vLLM 0.32.0, vllm/v1/core/kv_cache_utils.py; 0.8.5.post1, vllm/worker/worker.py",
    ),
    Known(
        r"CUDA out of memory",
        "Set max_num_batched_tokens = 2048, or lower gpu_memory_utilization; `nvidia-smi` says "
        "whether another process holds memory of the cards.",
        "measured with 0.8.5.post1: 2048 passed the prompts that ended it before",
    ),
)
DRIVER = (
    Known(
        r"NVIDIA driver on your system is too old",
        "The engine's CUDA is newer than the driver: set driver_branch to the branch that "
        "`fortyninety engine list` names, or take a release for this driver.",
        "PyTorch, c10/cuda/CUDAFunctions.cpp",
    ),
    Known(
        r"Found no NVIDIA driver|CUDA driver initialization failed|No CUDA GPUs are available",
        "Run `nvidia-smi` on the box: the driver does not show it a card. A deploy puts the driver "
        "right.",
        "PyTorch, c10/cuda/CUDAFunctions.cpp",
    ),
)
CHECKPOINT = (
    Known(
        r"Weight files referenced in index but missing"
        r"|No such file or directory: '[^']*safetensors",
        "`fortyninety snapshot verify INVENTORY` names what is missing or damaged, and the next "
        "deploy fetches it.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"Couldn't instantiate the backend tokenizer|\(tokenization_\w+\.py",
        "A file of the tokenizer is missing, damaged or of a kind that this release does not know: "
        "`fortyninety snapshot verify INVENTORY` compares it with the checkpoint's.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"Repo id must be in the form .*: '/",
        "There is no such folder: a deploy fetches the snapshot.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"does not match the quantization method specified in the `quantization` argument",
        "Set quantization to the method that the checkpoint's own config.json names.",
        "run with 0.32.0-cpu",
    ),
)
COMMAND_LINE = (
    Known(
        r"error: unrecognized arguments",
        "This release has no such flag: change engine_arguments.",
        "run with 0.32.0-cpu",
    ),
)
HOST = (
    Known(
        r"address already in use|Address already in use",
        "`ss -ltnp` names the process that has the port: stop it, or set another port.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"\[Errno 28\]|No space left on device",
        "`df -h` shows the full file system: make room on it.",
        "errno(3), ENOSPC",
    ),
    Known(
        r"\[Errno 13\]|Permission denied",
        "The service's account may not read it: `namei -l` with that path shows which folder or "
        "file denies it.",
        "run with 0.32.0-cpu",
    ),
)
ENVIRONMENT = (
    Known(
        r"Could not find nvcc",
        "FlashInfer wants to compile: set no attention_backend of that name, and no "
        "VLLM_USE_FLASHINFER_SAMPLER in an override of the unit.",
        "measured with 0.32.0, without the variable that its card sets",
    ),
    Known(
        r"No module named",
        "The engine's environment lacks a package: add it to the release's requirements.in and "
        "lock the release again with `fortyninety engine lock`.",
        "measured with 0.8.5.post1, whose lock lacked setuptools",
    ),
)
MEMORY = (
    Known(
        r"for want of memory",
        "`free -m` and `ps --sort=-rss aux` show what takes the box's memory; the engine's own "
        "share is its swap space (with 0.6.3.post1, 4 GiB a card unless engine_arguments set "
        "--swap-space) and on a CPU its KV cache.",
        "systemd.service(5), OOMPolicy=; vLLM 0.6.3.post1, vllm/engine/arg_utils.py",
    ),
)
CELL = (
    Known(
        r"ending the engine: |Connection closed by peer|Connection reset by peer",
        "Another member of the cell ended first: its own gate or `journalctl -u vllm.service` on "
        "its box says why.",
        "this project's cell-member; run with 0.32.0-cpu",
    ),
)
# The first that matches counts.
KNOWN = (
    *PROCESSOR,
    *CARD_MEMORY,
    *DRIVER,
    *CHECKPOINT,
    *COMMAND_LINE,
    *HOST,
    *ENVIRONMENT,
    *MEMORY,
    *CELL,
)


def remedy_of(cause: str) -> str | None:
    """Return what to do about `cause`, or None where it is not among the known ones."""
    return next((each.remedy for each in KNOWN if re.search(each.pattern, cause)), None)
