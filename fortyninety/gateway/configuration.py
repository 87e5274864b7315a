"""Write HAProxy's configuration for a gateway on an engine's own host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from fortyninety.gateway import api_error
from fortyninety.gateway.api_error import ApiError
from fortyninety.gateway.policy import Policy
from fortyninety.gateway.quoting import haproxy_word
from fortyninety.templates import render

TEMPLATE = "haproxy.cfg.j2"


@dataclass(frozen=True, kw_only=True)
class Fronts:
    """How a box hears the fleet's fronts, which say whose a request is.

    `addresses` are those that it listens at for them, with their ports, and `certificate` is the
    box's own there. `names` are theirs, in certificates that `authority` signed for clients.
    """

    addresses: tuple[str, ...]
    certificate: PurePosixPath
    authority: PurePosixPath
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """How a box is read by the fleet's monitor, which a certificate of the authority names.

    `addresses` are those that it listens at for it, with their ports. `pages` has by a page's name
    the address on loopback whose /metrics it is.
    """

    addresses: tuple[str, ...]
    certificate: PurePosixPath
    authority: PurePosixPath
    name: str
    pages: Mapping[str, str]
    host: str = "localhost"


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """What a gateway's configuration is made of.

    `addresses` are those that it listens at, with their ports; `engine_address` is where the engine
    listens, and `status_address` where the gateway itself says how it is, both on loopback.
    `paths` maps each path that is let through to the method that it is asked by. `drained_map` has
    an entry while the box is drained.
    """

    addresses: tuple[str, ...]
    certificate: PurePosixPath
    key_map: PurePosixPath
    drained_map: PurePosixPath
    control_socket: PurePosixPath
    status_address: str
    engine_address: str
    model_name: str
    paths: Mapping[str, str]
    policy: Policy
    fronts: Fronts | None = None
    monitor: Monitor | None = None


def haproxy_configuration(gateway: Gateway) -> str:
    """Return the text of the configuration. Raises ValueError for what no word of it can hold."""
    return render(
        TEMPLATE,
        **common_values(gateway.policy, gateway.paths),
        gateway=gateway,
        fronts=gateway.fronts,
        monitor=gateway.monitor,
        control_socket=gateway.control_socket,
        key_map=gateway.key_map,
        drained_map=gateway.drained_map,
        forwarded_host=gateway.engine_address,
        probe=_probe(gateway.model_name),
        held=own_socket(gateway.control_socket, "held"),
        next_try=own_socket(gateway.control_socket, "next-try"),
    )


def common_values(policy: Policy, paths: Mapping[str, str]) -> dict[str, Any]:
    """What the templates of a box's gateway and of a front's have in common."""
    return {
        "policy": policy,
        "word": haproxy_word,
        "answer": _answer,
        "errors": api_error,
        "paths_of": {
            method: [path for path, its in paths.items() if its == method]
            for method in sorted(set(paths.values()))
        },
    }


def own_socket(control_socket: PurePosixPath, name: str) -> str:
    """Where HAProxy hears itself: nobody else may ask there, since keys are known by then."""
    return haproxy_word(f"unix@{control_socket.with_name(name)}.sock")


def _answer(error: ApiError) -> str:
    """The words of `http-request return` and of `http-error` for an error."""
    words = [f"status {error.status}", "content-type application/json"]
    words.append(f"string {haproxy_word(error.body)}")
    if error.status == 401:
        words.append("hdr WWW-Authenticate Bearer")
    if error.retry_after is not None:
        words.append(f"hdr Retry-After {error.retry_after}")
    if not error.send_again:
        # The OpenAI API's own header, which its clients heed.
        words.append("hdr X-Should-Retry false")
    return " ".join(words)


def _probe(model_name: str) -> str:
    """The body of the smallest real completion."""
    return json.dumps({"model": model_name, "prompt": "1", "max_tokens": 1, "temperature": 0})
