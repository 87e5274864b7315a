"""Write the engine's command line from the settings, with the release's spelling of each flag."""

from __future__ import annotations

from fortyninety.cards.known import card_named
from fortyninety.cell.membership import Membership
from fortyninety.releases.release import MultiNode, Release
from fortyninety.settings.model import Settings

LOOPBACK_ADDRESS = "127.0.0.1"
# Where the processes of one box's engine meet. Left to themselves, NCCL and Gloo take the first
# interface that others reach too, and whoever reaches their ports is believed; besides, the unit
# has no packets but those of loopback. A cell's members say where they meet instead.
ON_LOOPBACK = {
    "VLLM_HOST_IP": LOOPBACK_ADDRESS,
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}


class FlagAbsent(ValueError):
    """A setting asks for something that the engine release has no flag for."""

    def __init__(self, key: str, release: str) -> None:
        self.key = key
        super().__init__(f"engine {release} has no flag for {key}")


def serve_arguments(
    settings: Settings,
    release: Release,
    *,
    model_path: str,
    tensor_parallel_size: int,
    cell: Membership | None = None,
) -> list[str]:
    """The arguments after the engine's entry command, in a fixed order.

    `model_path` is the local snapshot: the engine never fetches. A switch that is off in the
    settings is left out where that is off for the release too, and so is a value that is None.
    Raises FlagAbsent where the release has no flag for a needed setting.
    """
    values: dict[str, str | bool | None] = {
        "served_model_name": settings.model_name,
        "quantization": settings.quantization,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "max_model_len": str(settings.max_model_len),
        "max_num_seqs": str(settings.max_num_seqs),
        **_batch(settings, release),
        **_captured(settings, release),
        "enable_prefix_caching": settings.enable_prefix_caching,
        "gpu_memory_utilization": str(settings.gpu_memory_utilization),
        "tensor_parallel_size": str(tensor_parallel_size),
        "host": settings.listen_address,
        "port": str(settings.port),
    }
    arguments = [release.model_argument, model_path]
    for key, value in values.items():
        if value is False and key in release.switched_off:
            arguments.append(release.switched_off[key])
        if value is False or value is None:
            continue
        flag = release.flags.get(key)
        if flag is None:
            raise FlagAbsent(key, release.release)
        arguments.append(flag)
        if value is not True:
            spellings = release.values.get(key, {})
            arguments.append(spellings.get(value, value))
    backend = attention_backend(settings, release)
    if backend is not None and release.attention_backend.flag is not None:
        arguments += [release.attention_backend.flag, backend]
    # Prompts stay out of the journal; releases that log none by default have no such flag.
    if quiet := release.flags.get("disable_log_requests"):
        arguments.append(quiet)
    if _lacks_peer_to_peer(settings, tensor_parallel_size):
        arguments += release.without_peer_to_peer.arguments
    extra = release.extra_arguments
    if cell is not None:
        multi_node = _multi_node(release)
        arguments += _cell_arguments(cell, multi_node)
        if multi_node.extra_arguments is not None:
            extra = multi_node.extra_arguments
    return [*arguments, *extra, *settings.engine_arguments]


def _cell_arguments(cell: Membership, multi_node: MultiNode) -> list[str]:
    size = str(len(cell.addresses))
    values = {
        "pipeline_parallel_size": size,
        "nodes": size,
        "node_rank": str(cell.rank),
        "head_address": cell.head_address,
        "head_port": str(cell.rendezvous_port),
    }
    arguments = [word for key, value in values.items() for word in (multi_node.flags[key], value)]
    return arguments if cell.is_head else [*arguments, multi_node.flags["headless"]]


def _multi_node(release: Release) -> MultiNode:
    if release.multi_node is None:
        raise FlagAbsent("cell", release.release)
    return release.multi_node


def engine_entry(release: Release, cell: Membership | None) -> tuple[str, ...]:
    """The program of the environment that is run, and its first arguments."""
    if cell is None or cell.is_head:
        return release.entry
    return _multi_node(release).headless_entry or release.entry


def cell_environment(release: Release, cell: Membership, interface: str) -> dict[str, str]:
    """Where this member's part of the engine is reached: at its own address and nowhere else."""
    multi_node = _multi_node(release)
    return {
        multi_node.address_variable: cell.own_address,
        **dict.fromkeys(multi_node.interface_variables, interface),
    }


def engine_environment(
    settings: Settings, release: Release, *, tensor_parallel_size: int
) -> dict[str, str]:
    """The engine's environment variables: the release's own, and what it takes only there."""
    variables = {**ON_LOOPBACK, **release.environment}
    backend = attention_backend(settings, release)
    if backend is not None and release.attention_backend.environment is not None:
        variables[release.attention_backend.environment] = backend
    if _lacks_peer_to_peer(settings, tensor_parallel_size):
        variables |= release.without_peer_to_peer.environment
    return variables


def _batch(settings: Settings, release: Release) -> dict[str, str | bool]:
    """The batch's size where it is set; one shorter than the context means cut prompts."""
    size = settings.max_num_batched_tokens
    if size is None:
        return {}
    cut = size < settings.max_model_len and release.flags.get("enable_chunked_prefill") is not None
    return {
        "max_num_batched_tokens": str(size),
        **({"enable_chunked_prefill": True} if cut else {}),
    }


def _captured(settings: Settings, release: Release) -> dict[str, str | bool | None]:
    """Up to which length sequences are decoded by CUDA graphs, where the release asks: all."""
    if release.flags.get("max_seq_len_to_capture") is None:
        return {}
    return {"max_seq_len_to_capture": str(settings.max_model_len)}


def _lacks_peer_to_peer(settings: Settings, tensor_parallel_size: int) -> bool:
    able = settings.peer_to_peer
    if able is None:
        known = card_named(settings.gpu_model)
        able = known is None or known.peer_to_peer
    return tensor_parallel_size > 1 and not able


def attention_backend(settings: Settings, release: Release) -> str | None:
    """The attention backend that is asked for, or None for the engine's own choice."""
    if settings.attention_backend is not None:
        return settings.attention_backend
    if settings.kv_cache_dtype.startswith("fp8"):
        return release.attention_backend.for_fp8_kv_cache
    return None
