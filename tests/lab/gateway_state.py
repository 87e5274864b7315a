"""What a host with a gateway shows: certificate, port, memory, and what its engine counted."""

from __future__ import annotations

import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from fortyninety.gateway.authority import authority_in, issue
from fortyninety.gateway.certificates import sealed
from lab.hosts import LabHost
from tests.lab.key_holder import KeyHolder

# The engine's own count of requests.
ASKED = "vllm:request_success_total"


def certificate(folder: Path, *names: str, days_ago: int = 0) -> str:
    """One of the fleet's own, for these names and of that day, as a host has it."""
    made = datetime.now(UTC) - timedelta(days=days_ago)
    return sealed(issue(authority_in(folder, "lab", datetime.now(UTC)), names, made))


def most_memory(host: LabHost) -> int:
    """The bytes that one of HAProxy's processes had at the top."""
    said = host.ssh("cat $(pidof haproxy | sed 's|[0-9]*|/proc/&/status|g')", check=True).stdout
    return max(int(line.split()[1]) * 1024 for line in said.splitlines() if "VmHWM" in line)


def served_by(host: LabHost) -> x509.Certificate:
    """The certificate that the gateway shows to who believes anybody."""
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host.address, 443)).encode())


def wait_until_port_is(host: LabHost, *, is_open: bool) -> None:
    """Wait until the gateway's port answers, or refuses."""
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as connection:
            connection.settimeout(5)
            if (connection.connect_ex((host.address, 443)) == 0) == is_open:
                return
        assert time.monotonic() < deadline
        time.sleep(0.2)


def cached(host: LabHost, holder: KeyHolder, prompt: str, **more: str) -> int:
    """How many tokens of the prompt the engine had already, by what it counts."""
    asked = counted(host, "vllm:prefix_cache_queries_total")
    hits = counted(host, "vllm:prefix_cache_hits_total")
    answer = holder.complete(1, prompt=prompt, **more)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()["usage"]["prompt_tokens"]
    deadline = time.monotonic() + 30
    # Both are counted at once, perhaps after the answer.
    while counted(host, "vllm:prefix_cache_queries_total") < asked + tokens:
        assert time.monotonic() < deadline, "the request was not counted"
    return counted(host, "vllm:prefix_cache_hits_total") - hits


def counted(host: LabHost, metric: str) -> int:
    """What the engine's own metrics say, over all labels that are not named."""
    said = host.ssh(
        "python3 -c 'import urllib.request as r;"
        'print(r.urlopen("http://127.0.0.1:8000/metrics").read().decode())\'',
        check=True,
    ).stdout
    return sum(
        int(float(line.split()[-1])) for line in said.splitlines() if line.startswith(metric)
    )
