"""The settings of one host: parsed once from its pyinfra data, before anything touches a host.

The values and the reasons for them are in `group_data/all.py`; the types and bounds are here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pyinfra.api.arguments import all_global_arguments
from pyinfra.connectors.ssh import ConnectorData

from fortyninety.engine_card import driver_floor
from fortyninety.problems import Problem
from fortyninety.profiles import PROFILES, ProfileName

# Absolute, and free of what a shell or a systemd unit would read as more than a path.
AbsolutePath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]*[A-Za-z0-9._-]$")]
RepositoryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")]
# Without a user or a password: they would stand on a command line, in a log, in the process list.
PlainAddress = Annotated[str, Field(pattern=r"^https?://[^/\s@]+(/[^\s@]*)?$")]
Watts = Annotated[int, Field(ge=1)]
# A card's UUID, or its PCI address as the kernel or nvidia-smi writes it.
CardKey = Annotated[
    str,
    Field(pattern=r"^(GPU-[0-9a-f-]+|([0-9A-Fa-f]{4}){1,2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])$"),
]
CommitHash = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]

# Branches of NVIDIA's driver, and the CUDA release that came with each (NVIDIA's table of the
# drivers that each CUDA release needs, and the names of its installers).
BRANCH_TOOLKITS = {550: "12.4", 580: "13.0", 590: "13.1"}

# Settings whose value is not shown when it is wrong: somebody may have put the secret itself there.
SECRET_KEYS = frozenset({"hub_token"})

# What a pattern means, for the person who gave a value that does not match it.
PATTERN_MEANINGS = {
    "engine": "the name of a folder of engines/, as text",
    "engine_arguments": "a list of texts, one for each word of the command line",
    "attention_backend": "the release's name of a backend, such as 'XFORMERS'",
    "package_index": "'host', 'none', or an address that begins with http:// or https:// and holds "
    "no user or password (those belong into root's ~/.netrc on the host)",
    "wheel_directory": "an absolute path of letters, digits, '.', '_', '-' and '/'",
    "python_mirror": "an address that begins with http://, https:// or file:/// and holds no user "
    "or password",
    "install_directory": "an absolute path of letters, digits, '.', '_', '-' and '/'",
    "models_directory": "an absolute path of letters, digits, '.', '_', '-' and '/'",
    "service_user": "the name of a Linux account",
    "power_limit": "a whole number of at least 1, or a mapping from each card's UUID or PCI "
    "address to one",
    "cuda_version": "major.minor, as text",
    "driver_version": "the version of a driver, as text, such as '550.163.01'",
    "nvidia_repository": "an address that begins with http://, https:// or file:/, without a final "
    "slash, and holds no user or password",
    "nvidia_repository_key": "a full fingerprint of 40 hexadecimal digits in capitals",
    "model_revision": "a full commit hash of 40 hexadecimal digits (a branch name moves)",
    "model_repository": "organisation/name",
    "served_model_name": "a name without white space",
    "hub_endpoint": "an address that begins with http:// or https://, without a final slash",
    "hub_token": "where the token is and never the token: 'file:/path' or 'environment:NAME'",
    "snapshot_source": "an absolute path on the hosts, or an address without a final slash",
    "second_copy_directory": "an absolute path of letters, digits, '.', '_', '-' and '/'",
    "peer_address": "a host name or an address",
    "other_listening_ports": "a list of ports, such as [9100]",
    "cell": "a short name of lower-case letters, digits and '-'",
    "cell_address": "an IPv4 address of the host, or a name that means one",
}


class Settings(BaseModel):
    """Every setting of a host. Sizes are MiB, power is W, times are seconds, lengths are tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # The engine
    engine: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+$")]
    install_directory: AbsolutePath
    service_user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,30}$")]
    engines_kept: Annotated[int, Field(ge=0, le=20)]
    engine_arguments: list[Annotated[str, Field(min_length=1)]]
    attention_backend: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")] | None
    package_index: Literal["host", "none"] | PlainAddress
    wheel_directory: AbsolutePath | None
    python_source: Literal["auto", "distribution", "debian-12", "uv"]
    python_mirror: Annotated[str, Field(pattern=r"^(https?://[^/\s@]+|file://)/[^\s@]*$")] | None

    # The model
    model_repository: RepositoryName
    model_revision: CommitHash
    hub_endpoint: Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*[^/\s])?$")] | None
    models_directory: AbsolutePath
    allow_non_nvme: bool
    hub_token: Annotated[str, Field(pattern=r"^(file:(~/|/)\S+|environment:[A-Za-z_]\w*)$")] | None
    snapshot_source: (
        Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._/-]*[A-Za-z0-9._-]|https?://\S*[^/\s])$")]
        | None
    )
    snapshots_kept: Annotated[int, Field(ge=1, le=100)]
    second_copy_directory: AbsolutePath | None

    # How it gets from host to host
    snapshot_peers: bool
    peer_address: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$")] | None
    peer_port: Annotated[int, Field(ge=1024, le=65535)]
    peer_rate_limit: Annotated[int, Field(ge=1)] | None

    # How it is served
    served_model_name: Annotated[str, Field(pattern=r"^\S+$")] | None
    quantization: Literal["awq_marlin", "awq", "gptq_marlin", "aqlm"] | None
    kv_cache_dtype: Literal["auto", "fp8", "fp8_e4m3", "fp8_e5m2"]
    profile: ProfileName
    # The profile's where the data says None: always a number once parsed.
    max_model_len: Annotated[int, Field(ge=256, le=131072)]
    max_num_seqs: Annotated[int, Field(ge=1, le=1024)]
    max_num_batched_tokens: Annotated[int, Field(ge=256, le=131072)] | None
    enable_prefix_caching: bool
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=0.98)]
    fit: Literal["refuse", "warn"]
    tensor_parallel_size: Annotated[int, Field(ge=1, le=16)] | Literal["all"]
    listen_address: Literal["127.0.0.1", "0.0.0.0"]
    port: Annotated[int, Field(ge=1024, le=65535)]
    ready_timeout: Annotated[int, Field(ge=30, le=7200)]
    other_listening_ports: list[Annotated[int, Field(ge=1, le=65535)]]

    # Boxes that serve one model together
    cell: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] | None
    cell_address: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")] | None
    cell_port: Annotated[int, Field(ge=1024, le=65534)]

    # The cards
    gpu_model: Annotated[str, Field(min_length=1)]
    gpu_count: Annotated[int, Field(ge=1, le=16)] | None
    power_limit: Watts | dict[CardKey, Watts]

    # The driver
    driver_source: Literal["auto", "distribution", "nvidia", "present"]
    # What the engine's card needs where the data says None: always a number once parsed.
    driver_branch: Annotated[int, Field(ge=550, le=999)]
    driver_version: Annotated[str, Field(pattern=r"^\d{3}(\.\d+){1,2}$")] | None
    driver_kernel_modules: Literal["auto", "proprietary", "open"]
    nvidia_repository: (
        Annotated[str, Field(pattern=r"^(https?://[^/\s@]+|file:/)(/[^\s@]*[^/\s@])?$")] | None
    )
    nvidia_repository_key: Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")] | None
    # The branch's own toolkit where the data says None: always a version once parsed.
    cuda_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")]
    allow_reboot: bool
    reboot_timeout: Annotated[int, Field(ge=30, le=3600)]
    apt_lock_timeout: Annotated[int, Field(ge=0, le=7200)]

    @model_validator(mode="before")
    @classmethod
    def _fill_from_profile(cls, data: dict[str, Any]) -> dict[str, Any]:
        # An unknown profile is a problem of its own, and not three.
        profile = PROFILES.get(data.get("profile", ""), PROFILES["balanced"])
        filled = dict(data)
        for key, value in asdict(profile).items():
            if key in filled and filled[key] is None:
                filled[key] = value
        return filled

    @model_validator(mode="before")
    @classmethod
    def _fill_from_engine(cls, data: dict[str, Any]) -> dict[str, Any]:
        filled = dict(data)
        if filled.get("driver_branch", 0) is None:
            floor = driver_floor(filled.get("engine", ""))
            filled["driver_branch"] = next(
                (each for each in BRANCH_TOOLKITS if each >= floor), max(BRANCH_TOOLKITS)
            )
        branch = filled.get("driver_branch")
        if filled.get("cuda_version", "") is None and isinstance(branch, int):
            known = [each for each in BRANCH_TOOLKITS if each <= branch]
            filled["cuda_version"] = BRANCH_TOOLKITS[max(known, default=min(BRANCH_TOOLKITS))]
        return filled

    @property
    def model_name(self) -> str:
        """The name that clients ask for: `served_model_name`, or the repository's own."""
        return self.served_model_name or self.model_repository


# Keys of host data that are pyinfra's own, not ours: its SSH connection and global arguments.
CONNECTION_KEYS = frozenset(ConnectorData.__annotations__)
GLOBAL_ARGUMENT_KEYS = frozenset(name for name, _ in all_global_arguments() if name.startswith("_"))


def parse_settings(host: str, data: Mapping[str, Any]) -> Settings | list[Problem]:
    """Settings of `host` from its pyinfra data, or every problem with them at once."""
    own = {
        key: value
        for key, value in data.items()
        if key not in CONNECTION_KEYS and key not in GLOBAL_ARGUMENT_KEYS
    }
    try:
        return Settings.model_validate(own)
    except ValidationError as error:
        return _problems(host, error.errors())


def _problems(host: str, errors: list[ErrorDetails]) -> list[Problem]:
    by_key: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        by_key.setdefault(str(error["loc"][0]), []).append(error)
    missing = [key for key, found in by_key.items() if found[0]["type"] == "missing"]
    if set(missing) == set(Settings.model_fields):
        # pyinfra reads group_data/ from the working directory: elsewhere it silently has none.
        return [
            Problem(
                host,
                "group_data",
                "not loaded",
                "the settings of group_data/all.py",
                "Run pyinfra from the project's root, or give it --chdir",
            )
        ]
    return [_problem(host, key, found) for key, found in by_key.items()]


def _problem(host: str, key: str, errors: list[ErrorDetails]) -> Problem:
    kind = errors[0]["type"]
    if kind == "extra_forbidden":
        known = sorted({*Settings.model_fields, *CONNECTION_KEYS, *GLOBAL_ARGUMENT_KEYS})
        near = difflib.get_close_matches(key, known, n=1)
        allowed = f"no such setting; did you mean {near[0]}?" if near else "no such setting"
        return Problem(
            host,
            key,
            f"{errors[0]['input']!r}",
            allowed,
            "Every setting there is stands in group_data/all.py",
        )
    if kind == "missing":
        return Problem(host, key, "missing", allowed_values(key))
    found = "something else" if key in SECRET_KEYS else f"{errors[0]['input']!r}"
    return Problem(host, key, found, allowed_values(key))


def allowed_values(key: str) -> str:
    """In words, which values the setting `key` takes, read from its type and bounds."""
    if key in PATTERN_MEANINGS:
        meaning = PATTERN_MEANINGS[key]
        optional = type(None) in _union_members(Settings.model_fields[key].annotation)
        return f"{meaning}, or None" if optional else meaning
    schema = Settings.model_json_schema()["properties"][key]
    return " or ".join(_in_words(choice) for choice in schema.get("anyOf", [schema]))


def _union_members(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__args__", ())


def _in_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(repr(value) for value in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    kind = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "True or False",
        "string": "a text",
        "array": "a list",
        "null": "None",
    }[schema["type"]]
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        above = "above " if "exclusiveMinimum" in schema else ""
        return f"{kind} from {above}{low} to {high}"
    if low is not None:
        return f"{kind} of at least {low}"
    if "pattern" in schema:
        return f"{kind} that matches {schema['pattern']}"
    return kind
