"""Compare the `quantization` setting with the checkpoint's own config. No input or output."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.fit.errors import FitError
from fortyninety.fit.weights import Weights
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings

# How the weights are stored that each value of the setting computes with. Source: get_name and
# override_quantization_method of the classes in vllm/model_executor/layers/quantization.
METHODS = {"awq_marlin": "awq", "awq": "awq", "gptq_marlin": "gptq", "aqlm": "aqlm"}


def stored_method(settings: Settings, weights: Weights | FitError) -> str | None:
    """How the matrices are stored, such as "awq", by the checkpoint or else by the setting.

    None for 16-bit weights, and where the checkpoint is not known and the setting says nothing. The
    checkpoint comes first: a setting that it contradicts is a problem of its own, and only one.
    """
    if not isinstance(weights, FitError):
        return _own_method(weights)
    return None if settings.quantization is None else METHODS[settings.quantization]


def quantization_problems(
    host: str, settings: Settings, weights: Weights | FitError
) -> Iterator[Problem]:
    """Yield a problem where the checkpoint is stored otherwise than the setting says.

    The engine would refuse it when it starts, after everything was fetched.
    """
    if settings.quantization is None or isinstance(weights, FitError):
        return
    own = _own_method(weights)
    if METHODS[settings.quantization] == own:
        return
    fitting = [repr(value) for value, method in METHODS.items() if method == own]
    yield Problem(
        host=host,
        subject="quantization",
        found=repr(settings.quantization),
        expected=" or ".join([*fitting, "None"]),
        remedy=f"The config.json of {settings.model_repository} says "
        + (
            f"that its weights are {weights.architecture.method}"
            if own
            else "nothing of a quantization"
        ),
    )


def _own_method(weights: Weights) -> str | None:
    stored = weights.architecture.quantization
    return None if stored is None else stored.method
