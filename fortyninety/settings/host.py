"""Name the settings of a host, so that an editor completes them in an inventory.

Written by tests/unit/settings/host_source.py from the settings themselves.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, Unpack


class HostData(TypedDict, total=False):
    """What an inventory may say of a host. `fortyninety settings` has the reasons."""

    roles: list[Literal["engine", "gateway", "monitor"]]
    engine: str
    install_directory: str
    service_user: str
    engines_kept: int
    engine_arguments: list[str]
    attention_backend: str | None
    package_index: Literal["host", "none"] | str
    wheel_directory: str | None
    python_source: Literal["auto", "distribution", "debian-12", "uv"]
    python_mirror: str | None
    model: str | None
    model_repository: str
    model_revision: str
    hub_endpoint: str | None
    models_directory: str
    allow_non_nvme: bool
    hub_token: str | None
    snapshot_source: str | None
    snapshots_kept: int
    second_copy_directory: str | None
    snapshot_peers: bool
    peer_address: str | None
    peer_port: int
    peer_rate_limit: int | None
    served_model_name: str | None
    quantization: Literal["awq_marlin", "awq", "gptq_marlin", "aqlm"] | None
    kv_cache_dtype: Literal["auto", "fp8", "fp8_e4m3", "fp8_e5m2"]
    profile: Literal["long-context", "balanced", "burst"]
    max_model_len: int | None
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    enable_prefix_caching: bool
    gpu_memory_utilization: float
    fit: Literal["refuse", "warn"]
    tensor_parallel_size: int | Literal["all"]
    listen_address: Literal["127.0.0.1", "0.0.0.0"]
    port: int
    ready_timeout: int
    on_failed_gate: Literal["restore", "leave"]
    other_listening_ports: list[int]
    firewall: bool
    allowed_networks: list[str]
    gateway_allowed_networks: list[str]
    cell: str | None
    cell_address: str | None
    cell_port: int
    gateway: bool
    gateway_port: int
    gateway_names: list[str]
    gateway_certificate: str | None
    gateway_status_port: int
    gateway_fronts_port: int
    front_status_port: int
    gateway_max_body_kib: int
    gateway_hold: int
    gateway_answer_timeout: int
    gateway_connections: int
    gateway_connections_per_client: int
    drain_timeout: int
    gateway_probe_interval: int
    virtual_address: str | None
    tenant_isolation: bool
    signals: bool
    signals_interval: int
    signals_exporter_port: int
    signals_port: int | None
    signals_allowed_networks: list[str]
    monitor_port: int
    monitor_alerts_port: int
    monitor_retention_gib: int
    alert_webhook_url_file: str | None
    gpu_model: str
    gpu_count: int | None
    peer_to_peer: bool | None
    power_limit: int | dict[str, int]
    driver_source: Literal["auto", "distribution", "nvidia", "present"]
    driver_branch: int | None
    driver_version: str | None
    driver_kernel_modules: Literal["auto", "proprietary", "open"]
    nvidia_repository: str | None
    nvidia_repository_key: str | None
    cuda_version: str | None
    allow_reboot: bool
    reboot_timeout: int
    apt_lock_timeout: int
    ssh_hostname: str | None
    ssh_port: int | None
    ssh_user: str | None
    ssh_password: str | None
    ssh_key: str | None
    ssh_key_password: str | None
    ssh_allow_agent: bool | None
    ssh_look_for_keys: bool | None
    ssh_forward_agent: bool | None
    ssh_config_file: str | None
    ssh_known_hosts_file: str | None
    ssh_strict_host_key_checking: str | None
    ssh_paramiko_connect_kwargs: dict[str, Any] | None
    ssh_connect_retries: int | None
    ssh_connect_retry_min_delay: float | None
    ssh_connect_retry_max_delay: float | None
    ssh_file_transfer_protocol: str | None
    _sudo: bool | None
    _sudo_user: str | None


def host(name: str, **data: Unpack[HostData]) -> tuple[str, HostData]:
    """A host of an inventory, in pyinfra's form: `two_cards = [host("gpu-box-1", gpu_count=2)]`."""
    return name, data
