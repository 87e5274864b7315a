"""Parse the settings of one host from its pyinfra data, before anything touches a host.

The values and the reasons for them are in `group_data/all.py`; the types and bounds are here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pyinfra.api.arguments import all_global_arguments
from pyinfra.connectors.ssh import ConnectorData

from fortyninety.problem import Problem
from fortyninety.releases.release import driver_floor, known_releases
from fortyninety.settings.account_names import account_problem
from fortyninety.settings.addresses import is_file_address, is_host_name, is_http_address
from fortyninety.settings.folders import folder_problem, overlapping
from fortyninety.settings.profiles import PROFILES, ProfileName
from fortyninety.text.shown_values import shown

# How long a text and a list may be at most: far above what anybody needs, and below what a command
# line over SSH takes. Source: MAX_ARG_STRLEN of the kernel, 128 KiB for one word, which the whole
# command is to the shell of a host.
LONGEST_TEXT = 4096
MOST_WORDS = 128
LONGEST_LINE = 16384


def _all_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a character that no word of a command line can hold")
    return text


def _word(text: str) -> str:
    if not text.isprintable() or text.startswith("-") or any(map(str.isspace, text)):
        raise ValueError("no word")
    return text


def _short_line(words: list[str]) -> list[str]:
    if sum(len(word.encode()) + 1 for word in words) > LONGEST_LINE:
        raise ValueError("too long a line")
    return words


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise PydanticCustomError("refused", "{reason}", {"reason": reason})


def _folder(path: str) -> str:
    _refuse(folder_problem(path))
    return path


def _account(name: str) -> str:
    _refuse(account_problem(name))
    return name


def _release(name: str) -> str:
    if name not in known_releases():
        _refuse(f"one of {', '.join(known_releases())}")
    return name


def _http_address(text: str) -> str:
    if not is_http_address(text):
        raise ValueError("no address")
    return text


def _bare_address(text: str) -> str:
    if text.endswith("/"):
        raise ValueError("a final slash")
    return _http_address(text)


def _source(text: str) -> str:
    """A folder that is read once, by root, and whose every byte is verified; or an address."""
    if not text.startswith("/"):
        return _bare_address(text)
    if re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", text) is None or {".", ".."} & set(text.split("/")):
        raise ValueError("no folder")
    return text


def _python_mirror(text: str) -> str:
    return text if is_file_address(text) else _http_address(text)


def _apt_repository(text: str) -> str:
    own = f"file://{text.removeprefix('file:')}" if text.startswith("file:/") else text
    return text if is_file_address(own) and not text.endswith("/") else _bare_address(text)


def _host(text: str) -> str:
    if not is_host_name(text):
        raise ValueError("no host name")
    return text


Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_all_printable)]
# Of an engine's command line.
Words = Annotated[list[Text], Field(max_length=MOST_WORDS), AfterValidator(_short_line)]
Folder = Annotated[str, AfterValidator(_folder)]
# As hubs name them: no part begins or ends with a point or a dash, so that none is "..".
RepositoryName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
        r"/[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$"
    ),
]
# Without a user or a password: they would stand on a command line, in a log, in the process list.
HttpAddress = Annotated[str, AfterValidator(_http_address)]
BareAddress = Annotated[str, AfterValidator(_bare_address)]
HostName = Annotated[str, AfterValidator(_host)]
Watts = Annotated[int, Field(ge=1, le=10_000)]
# A card's UUID, or its PCI address as the kernel or nvidia-smi writes it.
CardKey = Annotated[
    str,
    Field(
        pattern=r"^(GPU-[0-9a-f-]{1,64}"
        r"|([0-9A-Fa-f]{4}){1,2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])$"
    ),
]
CommitHash = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]

# Branches of NVIDIA's driver, and the CUDA release that came with each (NVIDIA's table of the
# drivers that each CUDA release needs, and the names of its installers).
BRANCH_TOOLKITS = {550: "12.4", 580: "13.0", 590: "13.1"}

# What a pattern means, for the person who gave a value that does not match it.
PATTERN_MEANINGS = {
    "engine": "the name of a folder of engines/, as text",
    "engine_arguments": f"a list of at most {MOST_WORDS} texts, one for each word of the command "
    f"line, none of them empty, {LONGEST_LINE} bytes in all, and no control characters or line "
    "ends in them",
    "gpu_model": "the name of a card, as nvidia-smi prints it",
    "attention_backend": "the release's name of a backend, such as 'XFORMERS'",
    "package_index": "'host', 'none', or an address that begins with http:// or https:// and holds "
    "no user or password (those belong into root's ~/.netrc on the host)",
    "wheel_directory": "an absolute path, as text",
    "python_mirror": "an address that begins with http://, https:// or file:/// and holds no user "
    "or password",
    "install_directory": "an absolute path, as text",
    "models_directory": "an absolute path, as text",
    "service_user": "the name of a Linux account",
    "power_limit": "a whole number of at least 1 and at most 10000, or a mapping from each card's "
    "UUID or PCI address to one",
    "cuda_version": "major.minor, as text",
    "driver_version": "the version of a driver, as text, such as '550.163.01'",
    "nvidia_repository": "an address that begins with http://, https:// or file:/, without a final "
    "slash, and holds no user or password",
    "nvidia_repository_key": "a full fingerprint of 40 hexadecimal digits in capitals",
    "model_revision": "a full commit hash of 40 hexadecimal digits (a branch name moves)",
    "model_repository": "organisation/name",
    "served_model_name": "a name of at most 200 characters without white space, control "
    "characters or a '-' in front",
    "hub_endpoint": "an address that begins with http:// or https://, without a final slash, and "
    "holds no user or password (hub_token says where a token is)",
    "hub_token": "where the token is and never the token: 'file:/path' or 'environment:NAME'",
    "snapshot_source": "an absolute path on the hosts, or an address that begins with http:// or "
    "https://, without a final slash, and holds no user or password",
    "second_copy_directory": "an absolute path, as text",
    "peer_address": "a host's name, or its IPv4 or IPv6 address",
    "other_listening_ports": "a list of ports, such as [9100]",
    "cell": "a short name of lower-case letters, digits and '-'",
    "cell_address": "an IPv4 address of the host, or a name that means one",
}


class Settings(BaseModel):
    """Every setting of a host. Sizes are MiB, power is W, times are seconds, lengths are tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # The engine
    engine: Annotated[str, AfterValidator(_release)]
    install_directory: Folder
    service_user: Annotated[str, AfterValidator(_account)]
    engines_kept: Annotated[int, Field(ge=0, le=20)]
    engine_arguments: Words
    attention_backend: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")] | None
    package_index: Literal["host", "none"] | HttpAddress
    wheel_directory: Folder | None
    python_source: Literal["auto", "distribution", "debian-12", "uv"]
    python_mirror: Annotated[str, AfterValidator(_python_mirror)] | None

    # The model
    model_repository: RepositoryName
    model_revision: CommitHash
    hub_endpoint: BareAddress | None
    models_directory: Folder
    allow_non_nvme: bool
    hub_token: (
        Annotated[
            str,
            Field(pattern=r"^(file:(~/|/)[!-~]{1,500}|environment:[A-Za-z_][A-Za-z0-9_]{0,200})$"),
        ]
        | None
    )
    snapshot_source: Annotated[str, Field(max_length=500), AfterValidator(_source)] | None
    snapshots_kept: Annotated[int, Field(ge=1, le=100)]
    second_copy_directory: Folder | None

    # How it gets from host to host
    snapshot_peers: bool
    peer_address: HostName | None
    peer_port: Annotated[int, Field(ge=1024, le=65535)]
    peer_rate_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None

    # How it is served
    served_model_name: (
        Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_word)] | None
    )
    quantization: Literal["awq_marlin", "awq", "gptq_marlin", "aqlm"] | None
    kv_cache_dtype: Literal["auto", "fp8", "fp8_e4m3", "fp8_e5m2"]
    profile: ProfileName
    # The profile's where the data says None: always a number once parsed.
    max_model_len: Annotated[int, Field(ge=256, le=131072)]
    max_num_seqs: Annotated[int, Field(ge=1, le=1024)]
    max_num_batched_tokens: Annotated[int, Field(ge=256, le=131072)] | None
    enable_prefix_caching: bool
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=0.98, allow_inf_nan=False)]
    fit: Literal["refuse", "warn"]
    tensor_parallel_size: Annotated[int, Field(ge=1, le=16)] | Literal["all"]
    listen_address: Literal["127.0.0.1", "0.0.0.0"]
    port: Annotated[int, Field(ge=1024, le=65535)]
    ready_timeout: Annotated[int, Field(ge=30, le=7200)]
    other_listening_ports: Annotated[
        list[Annotated[int, Field(ge=1, le=65535)]], Field(max_length=200)
    ]

    # Boxes that serve one model together
    cell: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] | None
    cell_address: HostName | None
    cell_port: Annotated[int, Field(ge=1024, le=65534)]

    # The cards
    gpu_model: Text
    gpu_count: Annotated[int, Field(ge=1, le=16)] | None
    power_limit: Watts | Annotated[dict[CardKey, Watts], Field(max_length=64)]

    # The driver
    driver_source: Literal["auto", "distribution", "nvidia", "present"]
    # What the engine's card needs where the data says None: always a number once parsed.
    driver_branch: Annotated[int, Field(ge=550, le=999)]
    driver_version: Annotated[str, Field(pattern=r"^[0-9]{3}(\.[0-9]{1,4}){1,2}$")] | None
    driver_kernel_modules: Literal["auto", "proprietary", "open"]
    nvidia_repository: Annotated[str, AfterValidator(_apt_repository)] | None
    nvidia_repository_key: Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")] | None
    # The branch's own toolkit where the data says None: always a version once parsed.
    cuda_version: Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]{1,2}$")]
    allow_reboot: bool
    reboot_timeout: Annotated[int, Field(ge=30, le=3600)]
    apt_lock_timeout: Annotated[int, Field(ge=0, le=7200)]

    @model_validator(mode="before")
    @classmethod
    def _fill_from_profile(cls, data: dict[str, Any]) -> dict[str, Any]:
        # An unknown profile is a problem of its own, and not three.
        named = data.get("profile")
        profile = next(
            (each for name, each in PROFILES.items() if name == named), PROFILES["balanced"]
        )
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
            engine = filled.get("engine")
            floor = driver_floor(engine) if isinstance(engine, str) else 0
            filled["driver_branch"] = next(
                (each for each in BRANCH_TOOLKITS if each >= floor), max(BRANCH_TOOLKITS)
            )
        branch = filled.get("driver_branch")
        if filled.get("cuda_version", "") is None:
            # A branch that is no number is a problem of its own, and not two.
            least = branch if isinstance(branch, int) else 0
            known = [each for each in BRANCH_TOOLKITS if each <= least]
            filled["cuda_version"] = BRANCH_TOOLKITS[max(known, default=min(BRANCH_TOOLKITS))]
        return filled

    @property
    def model_name(self) -> str:
        """The name that clients ask for: `served_model_name`, or the repository's own."""
        return self.served_model_name or self.model_repository


# The folders that the deploy writes to or fetches from, none of which may hold another.
FOLDERS = ("install_directory", "models_directory", "second_copy_directory", "wheel_directory")

# Of pyinfra's connection data. Source: ConnectorData of its SSH connector, ssh_config(5).
CONNECTION_TEXTS = (
    "ssh_hostname",
    "ssh_user",
    "ssh_key",
    "ssh_config_file",
    "ssh_known_hosts_file",
)
STRICTNESS = ("yes", "accept-new", "ask", "no", "off")

# Keys of host data that are pyinfra's own, not ours: its SSH connection and global arguments.
CONNECTION_KEYS = frozenset(ConnectorData.__annotations__)
GLOBAL_ARGUMENT_KEYS = frozenset(name for name, _ in all_global_arguments() if name.startswith("_"))


def parse_settings(host: str, data: Mapping[str, Any]) -> Settings | list[Problem]:
    """Settings of `host` from its pyinfra data, or every problem with them at once.

    Raises nothing, whatever the data is: it may be a file that was just edited.
    """
    own = {
        key: value
        for key, value in data.items()
        if key not in CONNECTION_KEYS and key not in GLOBAL_ARGUMENT_KEYS
    }
    nameless = [key for key in own if not isinstance(key, str) or not key.isprintable()]
    if nameless:
        return [
            Problem(
                host=host,
                subject="data",
                found=f"with a key {shown('', key)}",
                expected="names of settings",
            )
            for key in nameless
        ]
    connection = list(_connection_problems(host, data))
    try:
        settings = Settings.model_validate(own)
    except ValidationError as error:
        return [*connection, *_problems(host, error.errors(include_url=False))]
    return [*connection, *_problems_together(host, settings, data)] or settings


def _connection_problems(host: str, data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with how pyinfra is told to reach the host: it would end in a traceback."""
    for key in CONNECTION_TEXTS:
        value = data.get(key)
        if value is not None and not (isinstance(value, str) and _is_option(value)):
            yield Problem(
                host=host,
                subject=key,
                found=shown(key, value),
                expected="a text of printable characters, or None",
            )
    for key in ("ssh_password", "ssh_key_password"):
        if not isinstance(data.get(key), str | None):
            yield Problem(
                host=host, subject=key, found="something else", expected="a text, or None"
            )
    port = data.get("ssh_port")
    if port is not None and (type(port) is not int or not 1 <= port <= 65535):
        yield Problem(
            host=host,
            subject="ssh_port",
            found=shown("", port),
            expected="a whole number from 1 to 65535, or None",
        )
    strict = data.get("ssh_strict_host_key_checking")
    if strict is not None and strict not in STRICTNESS:
        yield Problem(
            host=host,
            subject="ssh_strict_host_key_checking",
            found=shown("", strict),
            expected=f"one of {', '.join(map(repr, STRICTNESS))}",
            remedy="'yes' refuses a host whose key is not known",
        )


def _is_option(text: str) -> bool:
    """Whether OpenSSH takes a text as the value that it is, and not for an option of its own."""
    return bool(text) and text.isprintable() and not text.startswith("-")


def _problems_together(host: str, settings: Settings, data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with settings that are each right by themselves."""
    folders = {key: getattr(settings, key) for key in FOLDERS}
    for key, other in overlapping({key: path for key, path in folders.items() if path}):
        yield Problem(
            host=host,
            subject=key,
            found=repr(folders[key]),
            expected=f"a folder that does not lie in {other}, which is {folders[other]!r}",
        )
    ports: dict[int, str] = {}
    for key, port in _ports(settings, data):
        if port in ports:
            yield Problem(
                host=host,
                subject=key,
                found=str(port),
                expected=f"another port than {ports[port]}'s",
            )
        ports.setdefault(port, key)


def _ports(settings: Settings, data: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The ports that something listens on, by setting; SSH's first, which none may take."""
    ssh = data.get("ssh_port")
    yield "ssh_port", ssh if isinstance(ssh, int) else 22
    yield "port", settings.port
    if settings.snapshot_peers:
        yield "peer_port", settings.peer_port
    if settings.cell is not None:
        yield "cell_port", settings.cell_port
        # The engine's own rendezvous is at the next.
        yield "cell_port", settings.cell_port + 1


def _problems(host: str, errors: list[ErrorDetails]) -> list[Problem]:
    by_key: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        by_key.setdefault(str(error["loc"][0]), []).append(error)
    missing = [key for key, found in by_key.items() if found[0]["type"] == "missing"]
    if set(missing) == set(Settings.model_fields):
        # pyinfra reads group_data/ from the working directory: elsewhere it silently has none.
        return [
            Problem(
                host=host,
                subject="group_data",
                found="not loaded",
                expected="the settings of group_data/all.py",
                remedy="Run pyinfra from the project's root, or give it --chdir",
            )
        ]
    return [_problem(host, key, found) for key, found in by_key.items()]


def _problem(host: str, key: str, errors: list[ErrorDetails]) -> Problem:
    if key not in Settings.model_fields:
        known = sorted({*Settings.model_fields, *CONNECTION_KEYS, *GLOBAL_ARGUMENT_KEYS})
        near = difflib.get_close_matches(key[:80], known, n=1)
        allowed = f"no such setting; did you mean {near[0]}?" if near else "no such setting"
        return Problem(
            host=host,
            subject=key if key.isidentifier() and len(key) <= 80 else shown("", key),
            found=shown(f"{key} {' '.join(near)}", errors[0]["input"]),
            expected=allowed,
            remedy="Every setting there is stands in group_data/all.py",
        )
    if errors[0]["type"] == "missing":
        return Problem(host=host, subject=key, found="missing", expected=allowed_values(key))
    reasons = [each["ctx"]["reason"] for each in errors if each["type"] == "refused"]
    allowed = reasons[0] if reasons else allowed_values(key)
    return Problem(host=host, subject=key, found=shown(key, errors[0]["input"]), expected=allowed)


@cache
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
