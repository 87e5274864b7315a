"""The cases of docs/measured/, as the engine printed them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fortyninety.checkout import ROOT
from fortyninety.fit.allocator import MIB
from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.estimate import Fit, estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.shape import CUBLAS_WORKSPACE_HOPPER, Box, Card, make_shape
from fortyninety.fit.weights import computed_weights

MEASURED = ROOT / "docs" / "measured"
CONFIGURATIONS: dict[str, Any] = json.loads((MEASURED / "configurations.json").read_text())

# nvidia-smi's totals less what it calls reserved.
H100 = Card((81559 - 480) * MIB, CUBLAS_WORKSPACE_HOPPER)
H200 = Card((143771 - 616) * MIB, CUBLAS_WORKSPACE_HOPPER)


# Logs of the older engine, with the card that utilization is of: the H100s' is a 4090's, which they
# were held to; an H200's is the whole card as CUDA has it.
OLD_ENGINE = (
    (MEASURED / "vllm-0.8.5.post1-h100x2.log", Card.of_memory(24564)),
    (MEASURED / "vllm-0.8.5.post1-h200.log", Card(150_109_880_320, CUBLAS_WORKSPACE_HOPPER)),
)
# 0.32.0 on H200s, whose cards CUDA had whole.
LATEST = tuple(
    MEASURED / f"vllm-0.32.0-h200{name}.log"
    for name in ("x2", "x2-longer", "x2-stages", "x2-lives", "-one-card")
)
# What an RTX 4090 leaves to processes.
USABLE = Card.of_memory(24564).usable


@dataclass(frozen=True)
class Case:
    """A start of vLLM: where, with what, and the tokens of KV cache it came to.

    `machete` marks Hopper's own kernel for 4-bit weights, which keeps more of them and which no
    other card has. `counted` is in bytes.
    """

    name: str
    card: Card
    config: dict[str, Any]
    flags: Flags
    kv_tokens: int
    machete: bool
    counted: dict[str, int]
    release: str = "0.24.0"
    cards: int = 1
    stages: int = 1

    @property
    def fit(self) -> Fit:
        """What the arithmetic says of it."""
        weights = computed_weights(read_architecture(self.config))
        box = Box((self.card,) * self.cards * self.stages)
        return estimate(
            weights, make_shape([box], self.cards, self.stages), self.release, self.flags
        )


@dataclass(frozen=True)
class Life:
    """Whether a case lived through prompts of every length on cards that left it `usable` bytes."""

    case: Case
    usable: int
    lived: bool


def cases() -> list[Case]:
    """Every case that came to a size, with PyTorch's plain allocator: four kinds of machine."""
    log = (MEASURED / "vllm-0.24.0-h100.log").read_text()
    new = [*(_plain_start(block, H100) for block in re.split(r"(?m)^## ", log)[1:]), *_h200()]
    old = (case for log, card in OLD_ENGINE for case in _old_engines(log, card))
    return [*new, *old, *(case for log in LATEST for case in _latest(log))]


def lives() -> list[Life]:
    """What was loaded until it died, or lived."""
    found = []
    logs = [(log, _old_engines(log, card)) for log, card in OLD_ENGINE]
    for log, measured in [*logs, *((log, _latest(log)) for log in LATEST)]:
        by_name = {case.name: case for case in measured}
        for line in re.findall(r"(?m)^LIVED (.+)$", log.read_text()):
            each = json.loads(line)
            case = by_name.get(each["case"]) or by_name[f"0.32.0-{each['case']}"]
            found.append(Life(case, each["mib"] * MIB, each["lived"]))
    return found


def _old_engines(log: Path, card: Card) -> list[Case]:
    blocks = re.split(r"(?m)^## ", log.read_text())[1:]
    plain = [block for block in blocks if '"expandable_segments"' not in block]
    return [_old_engine(block, card) for block in plain if "EXACT" in block]


def _old_engine(block: str, card: Card) -> Case:
    name, _, rest = block.partition(" ")
    arguments = json.loads(rest.splitlines()[0])
    exact = re.findall(r"EXACT rank=\d (.+)", block)
    assert exact, block[:200]
    ranks = [{k: int(v) for k, v in (word.split("=") for word in line.split())} for line in exact]
    # Of stages, the poorest decides.
    counted = min(ranks, key=lambda rank: rank["kv_avail"])
    return Case(
        name=name,
        card=card,
        config=_served(arguments["model"]),
        flags=Flags(
            max_model_len=arguments["max_model_len"],
            max_num_seqs=arguments["max_num_seqs"],
            kv_cache_dtype=arguments["kv_cache_dtype"],
            gpu_memory_utilization=arguments.get("gpu_memory_utilization", 0.95),
            max_num_batched_tokens=arguments.get("max_num_batched_tokens"),
        ),
        # With 16 bits of KV cache it is the newer engine, which counts in tokens.
        kv_tokens=_tokens(block) if "GPU KV cache size" in block else counted["gpu_blocks"] * 16,
        machete=False,
        counted={}
        if "GPU KV cache size" in block
        else {
            "requested": counted["budget"],
            "weights": counted["weights"],
            "activation": counted["torch_peak"],
            "non_torch": counted["non_torch"],
            "available": counted["kv_avail"],
        },
        release="0.8.5.post1",
        cards=arguments.get("tensor_parallel_size", 1),
        stages=arguments.get("pipeline_parallel_size", 1),
    )


def _latest(log: Path) -> list[Case]:
    blocks = re.split(r"(?m)^## ", log.read_text())[1:]
    return [_latest_start(block) for block in blocks]


def _latest_start(block: str) -> Case:
    name, _, rest = block.partition(" ")
    arguments = json.loads(rest.splitlines()[0])
    exact = re.findall(r"EXACT rank=\d (.+)", block)
    ranks = [{k: int(v) for k, v in (word.split("=") for word in line.split())} for line in exact]
    counted = min(ranks, key=lambda rank: rank["kv_avail"])
    first = arguments["start"] == "first"
    return Case(
        name=f"0.32.0-{name}" if name in ("balanced", "burst", "long-context") else name,
        card=OLD_ENGINE[1][1],
        config=_served(arguments["model"]),
        flags=Flags(
            max_model_len=arguments["max_model_len"],
            max_num_seqs=arguments["max_num_seqs"],
            kv_cache_dtype=arguments["kv_cache_dtype"],
            gpu_memory_utilization=arguments["gpu_memory_utilization"],
            max_num_batched_tokens=arguments["max_num_batched_tokens"],
            compiled_before=not first,
        ),
        kv_tokens=_tokens(block),
        machete=False,
        # What a later start has in activations is less than a first's, by what is not modelled.
        counted={
            "requested": counted["budget"],
            "weights": counted["weights"],
            "activation": counted["torch_peak"] - counted["loaded_allocated"],
            "non_torch": counted["non_torch"],
            "available": counted["kv_avail"],
        }
        if first and "torch_peak" in counted
        else {},
        release="0.32.0",
        cards=arguments["tensor_parallel_size"],
        stages=arguments["pipeline_parallel_size"],
    )


def _served(model: str) -> dict[str, Any]:
    """The configuration, with the positions of the 70B's own where it is that one."""
    config = CONFIGURATIONS[model]
    return {**config, "max_position_embeddings": 131072} if "70b" in model else config


def _plain_start(block: str, card: Card) -> Case:
    head = re.match(r"(\S+)( \(Machete\))? (\{.*\})", block)
    assert head is not None, block[:100]
    arguments = json.loads(head[3])
    result = re.search(r"(?m)^RESULT (\{.*\})", block)
    return Case(
        name=head[1] + (head[2] or ""),
        card=card,
        config=CONFIGURATIONS[arguments["model"]],
        flags=Flags(
            max_model_len=arguments["max_model_len"],
            max_num_seqs=arguments["max_num_seqs"],
            kv_cache_dtype=arguments.get("kv_cache_dtype", "auto"),
            gpu_memory_utilization=arguments["gpu_memory_utilization"],
            max_num_batched_tokens=arguments["max_num_batched_tokens"],
            enforce_eager=arguments.get("enforce_eager", False),
            compiled_before=head[1].endswith("-warm") or arguments.get("start") == "later",
        ),
        kv_tokens=_tokens(block),
        machete="Using MacheteLinearKernel" in block,
        counted=json.loads(result[1]) if result else {},
        stages=arguments.get("pipeline_parallel_size", 1),
    )


def forecast_stages() -> list[Case]:
    """Two stages of 0.24.0, a first and a later start, which no constant was fitted to."""
    log = (MEASURED / "vllm-0.24.0-h200x2.log").read_text()
    blocks = re.split(r"(?m)^## ", log)[1:]
    return [_plain_start(block, H200) for block in blocks if block.startswith("stages-")]


def _h200() -> list[Case]:
    config = {**CONFIGURATIONS["llama-3.1-70b-awq"], "max_position_embeddings": 131072}
    found = []
    log = (MEASURED / "vllm-0.24.0-h200.log").read_text()
    for block in re.split(r"(?m)^## ", log)[1:]:
        title = block.splitlines()[0]
        if "KV cache size" in block:
            dtype = "fp8" if "fp8 KV" in title else "auto"
            flags = Flags(16384, 4, dtype, 0.34, 8192)
            found.append(Case(f"h200 {title}", H200, config, flags, _tokens(block), False, {}))
    # Of its starts with Hopper's own kernel nothing but the tokens was counted.
    held = (MEASURED / "vllm-0.24.0-h200-24gb.log").read_text()
    starts = [_plain_start(block, H200) for block in re.split(r"(?m)^## ", held)[1:]]
    return [*found, *(each for each in starts if not each.machete)]


def _tokens(block: str) -> int:
    match = re.search(r"GPU KV cache size: ([\d,]+) tokens", block)
    assert match is not None, block[:200]
    return int(match[1].replace(",", ""))
