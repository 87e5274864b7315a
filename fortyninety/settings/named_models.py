"""Know models by name: `checkpoints/models.yaml`, and the settings that a name stands for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from fortyninety.checkout import CHECKPOINTS
from fortyninety.settings.defaults import default_setting
from fortyninety.settings.values import CommitHash, RepositoryName

MODELS = CHECKPOINTS / "models.yaml"

# What a name sets, where the data leaves the default of group_data/all.py.
SET_BY_NAME = ("model_repository", "model_revision", "quantization")


class NamedModel(BaseModel):
    """A model that people serve: its pinned checkpoint, and on which terms it is given.

    `commit_from` is where the commit was read. A `gated` one is given to accounts that accepted the
    licence. `quantization` is the value of the setting.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,39}$")]
    repository: RepositoryName
    revision: CommitHash
    quantization: Literal["awq_marlin", "gptq_marlin"] | None
    licence: str
    gated: bool
    commit_from: str
    note: str | None = None

    @property
    def settings(self) -> dict[str, str | None]:
        """What it sets: the keys of SET_BY_NAME."""
        return dict(
            zip(SET_BY_NAME, (self.repository, self.revision, self.quantization), strict=True)
        )


@cache
def named_models() -> dict[str, NamedModel]:
    """Every model by its name, in the order of the file.

    Raises pydantic.ValidationError where an entry is malformed.
    """
    entries: dict[str, dict[str, Any]] = yaml.safe_load(MODELS.read_text())
    return {name: NamedModel(name=name, **entry) for name, entry in entries.items()}


def named_model(name: object) -> NamedModel | None:
    """The model of that name, or None: for any value, which may be a mistyped setting."""
    return named_models().get(name) if isinstance(name, str) else None


def with_named_model(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a host with what its `model` sets.

    A value that is not the default of group_data/all.py was given on purpose, and stays.
    """
    filled = dict(data)
    if (named := named_model(data.get("model"))) is not None:
        for key, value in named.settings.items():
            if key in filled and filled[key] == default_setting(key):
                filled[key] = value
    return filled


def _known(name: str) -> str:
    if name not in named_models():
        begun = name[:80].lower()
        longer = [each for each in named_models() if begun and each.startswith(begun)]
        near = longer or difflib.get_close_matches(begun, named_models(), n=1, cutoff=0.5)
        guess = f" (did you mean {near[0]}?)" if near else ""
        reason = f"a name that `fortyninety models` lists{guess}, or None"
        raise PydanticCustomError("refused", "{reason}", {"reason": reason})
    return name


ModelName = Annotated[
    str, AfterValidator(_known), Field(description="a name that `fortyninety models` lists")
]
