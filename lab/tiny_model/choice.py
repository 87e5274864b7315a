"""Choose the tiny model of a lab host by what this machine's processor has kernels for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fortyninety.releases.release import ProcessorNeeds, lacking, load_release
from lab.errors import LabError
from lab.tiny_model import AWQ, MODELS, PLAIN, TinyModel

# The release that group_data/lab.py names.
ENGINE = "0.32.0-cpu"
_PROCESSOR = Path("/proc/cpuinfo")
_VARIABLE = "FORTYNINETY_LAB_MODEL"


@dataclass(frozen=True)
class ModelChoice:
    """A model, and why it is the one."""

    model: TinyModel
    reason: str

    def __str__(self) -> str:
        return f"{self.model.name} ({self.model.described}): {self.reason}"


def choose(asked: str | None) -> ModelChoice:
    """Return the model that was asked for by name, or the one that suits this machine.

    The environment may ask for one as well. Raises LabError where there is no model of that name.
    """
    if asked is not None:
        return ModelChoice(named(asked), "it was asked for")
    if wanted := os.environ.get(_VARIABLE):
        return ModelChoice(named(wanted), f"{_VARIABLE} asks for it")
    needs = load_release(ENGINE).processor
    assert needs is not None, f"the card of {ENGINE} says nothing of the processor"
    return suiting(processor_flags(_PROCESSOR.read_text()), needs)


def named(name: str) -> TinyModel:
    """Return the model of that name. Raises LabError where there is none."""
    if name not in MODELS:
        raise LabError(f"there is no model {name!r}; expected one of {', '.join(MODELS)}")
    return MODELS[name]


def suiting(flags: frozenset[str], needs: ProcessorNeeds) -> ModelChoice:
    """Return the AWQ model for a processor that has the kernels for it, else the plain one."""
    wanted = dict.fromkeys([*needs.quantization["awq"], *needs.fp8_kv_cache])
    missing = lacking(flags, wanted)
    if not missing:
        return ModelChoice(AWQ, "this processor has AVX-512")
    return ModelChoice(PLAIN, f"this processor lacks {', '.join(missing)}")


def processor_flags(text: str) -> frozenset[str]:
    """Return the flags of the first processor in the text of /proc/cpuinfo."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
