"""Define the settings of one host: what each may be, and what is filled in where it says None.

The values and the reasons for them are in `group_data/all.py`; the types and bounds are here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fortyninety.releases.release import driver_floor
from fortyninety.settings.named_models import ModelName, with_named_model
from fortyninety.settings.profiles import PROFILES, ProfileName
from fortyninety.settings.values import (
    AccountName,
    AptRepository,
    CardKey,
    CommitHash,
    ControllerFile,
    Folder,
    HostName,
    HttpAddress,
    HubAddress,
    Networks,
    PythonMirror,
    ReleaseName,
    RepositoryName,
    Roles,
    SharedAddress,
    SnapshotSource,
    Text,
    TokenPlace,
    Watts,
    Word,
    Words,
)

# Branches of NVIDIA's driver, and the CUDA release that came with each (NVIDIA's table of the
# drivers that each CUDA release needs, and the names of its installers).
BRANCH_TOOLKITS = {550: "12.4", 580: "13.0", 590: "13.1"}


class Settings(BaseModel):
    """Every setting of a host. Sizes are MiB, power is W, times are seconds, lengths are tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # What the host is for
    roles: Roles

    # The engine
    engine: ReleaseName
    install_directory: Folder
    service_user: AccountName
    engines_kept: Annotated[int, Field(ge=0, le=20)]
    engine_arguments: Words
    attention_backend: (
        Annotated[
            str,
            Field(
                pattern=r"^[A-Za-z0-9_]{1,64}$",
                description="the release's name of a backend, such as 'XFORMERS'",
            ),
        ]
        | None
    )
    package_index: Annotated[
        Literal["host", "none"] | HttpAddress,
        Field(
            description="'host', 'none', or an address that begins with http:// or https:// and "
            "holds no user or password (those belong into root's ~/.netrc on the host)"
        ),
    ]
    wheel_directory: Folder | None
    python_source: Literal["auto", "distribution", "debian-12", "uv"]
    python_mirror: PythonMirror | None

    # The model
    model: ModelName | None
    # The named model's where the data has the defaults: always the served ones once parsed.
    model_repository: RepositoryName
    model_revision: CommitHash
    hub_endpoint: HubAddress | None
    models_directory: Folder
    allow_non_nvme: bool
    hub_token: TokenPlace | None
    snapshot_source: SnapshotSource | None
    snapshots_kept: Annotated[int, Field(ge=1, le=100)]
    second_copy_directory: Folder | None

    # How it gets from host to host
    snapshot_peers: bool
    peer_address: HostName | None
    peer_port: Annotated[int, Field(ge=1024, le=65535)]
    peer_rate_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None

    # How it is served
    served_model_name: Word | None
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
    on_failed_gate: Literal["restore", "leave"]
    other_listening_ports: Annotated[
        list[Annotated[int, Field(ge=1, le=65535)]],
        Field(max_length=200, description="a list of ports, such as [9100]"),
    ]

    # The firewall
    firewall: bool
    allowed_networks: Networks
    gateway_allowed_networks: Networks

    # Boxes that serve one model together
    cell: (
        Annotated[
            str,
            Field(
                pattern=r"^[a-z0-9][a-z0-9-]{0,30}$",
                description="a short name of lower-case letters, digits and '-'",
            ),
        ]
        | None
    )
    cell_address: (
        Annotated[
            HostName, Field(description="an IPv4 address of the host, or a name that means one")
        ]
        | None
    )
    cell_port: Annotated[int, Field(ge=1024, le=65534)]

    # Gateway
    gateway: bool
    gateway_port: Annotated[int, Field(ge=1, le=65535)]
    gateway_names: Annotated[
        list[HostName],
        Field(max_length=50, description="a list of names and addresses, such as ['llm.lan']"),
    ]
    gateway_certificate: ControllerFile | None
    gateway_status_port: Annotated[int, Field(ge=1024, le=65535)]
    gateway_fronts_port: Annotated[int, Field(ge=1024, le=65535)]
    front_status_port: Annotated[int, Field(ge=1024, le=65535)]
    gateway_max_body_kib: Annotated[int, Field(ge=16, le=16_384)]
    gateway_hold: Annotated[int, Field(ge=1, le=3_600)]
    gateway_answer_timeout: Annotated[int, Field(ge=10, le=7_200)]
    gateway_connections: Annotated[int, Field(ge=10, le=100_000)]
    gateway_connections_per_client: Annotated[int, Field(ge=1, le=100_000)]
    drain_timeout: Annotated[int, Field(ge=0, le=3_600)]
    gateway_probe_interval: Annotated[int, Field(ge=1, le=3_600)]
    virtual_address: SharedAddress | None

    tenant_isolation: bool

    # Signals
    signals: bool
    signals_interval: Annotated[int, Field(ge=5, le=600)]
    signals_exporter_port: Annotated[int, Field(ge=1024, le=65535)]
    signals_port: Annotated[int, Field(ge=1024, le=65535)] | None
    signals_allowed_networks: Networks

    # The monitor
    monitor_port: Annotated[int, Field(ge=1024, le=65535)]
    monitor_alerts_port: Annotated[int, Field(ge=1024, le=65535)]
    monitor_retention_gib: Annotated[int, Field(ge=1, le=10_000)]
    alert_webhook_url_file: ControllerFile | None

    # The cards
    gpu_model: Annotated[Text, Field(description="the name of a card, as nvidia-smi prints it")]
    gpu_count: Annotated[int, Field(ge=1, le=16)] | None
    peer_to_peer: bool | None
    power_limit: Annotated[
        Watts | Annotated[dict[CardKey, Watts], Field(max_length=64)],
        Field(
            description="a whole number of at least 1 and at most 10000, or a mapping from each "
            "card's UUID or PCI address to one"
        ),
    ]

    # The driver
    driver_source: Literal["auto", "distribution", "nvidia", "present"]
    # What the engine's card needs where the data says None: always a number once parsed.
    driver_branch: Annotated[int, Field(ge=550, le=999)]
    driver_version: (
        Annotated[
            str,
            Field(
                pattern=r"^[0-9]{3}(\.[0-9]{1,4}){1,2}$",
                description="the version of a driver, as text, such as '550.163.01'",
            ),
        ]
        | None
    )
    driver_kernel_modules: Literal["auto", "proprietary", "open"]
    nvidia_repository: AptRepository | None
    nvidia_repository_key: (
        Annotated[
            str,
            Field(
                pattern=r"^[0-9A-F]{40}$",
                description="a full fingerprint of 40 hexadecimal digits in capitals",
            ),
        ]
        | None
    )
    # The branch's own toolkit where the data says None: always a version once parsed.
    cuda_version: Annotated[
        str, Field(pattern=r"^[0-9]{1,2}\.[0-9]{1,2}$", description="major.minor, as text")
    ]
    allow_reboot: bool
    reboot_timeout: Annotated[int, Field(ge=30, le=3600)]
    apt_lock_timeout: Annotated[int, Field(ge=0, le=7200)]

    @model_validator(mode="before")
    @classmethod
    def _fill_from_name(cls, data: dict[str, Any]) -> dict[str, Any]:
        return with_named_model(data)

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
    def has_engine(self) -> bool:
        """Whether an engine serves on the host, with all that it needs of cards and a model."""
        return "engine" in self.roles

    @property
    def is_front(self) -> bool:
        """Whether the host lets people in to the boxes of the inventory."""
        return "gateway" in self.roles

    @property
    def is_monitor(self) -> bool:
        """Whether the host watches the boxes of the inventory."""
        return "monitor" in self.roles

    @property
    def model_name(self) -> str:
        """The name that clients ask for: `served_model_name`, or the repository's own."""
        return self.served_model_name or self.model_repository
