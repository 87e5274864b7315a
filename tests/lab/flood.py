"""Thousands of connections that ask for nothing, from many addresses: python -m tests.lab.flood.

Each begins TLS, headers or a body, or nothing at all, and goes on a byte at a time. Whoever is let
go comes again. Prints a line of JSON once all have tried, and another one when it is told to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import resource
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

from lab import paths

ADDRESSES = 60
# Seconds between two bytes, and until one that was let go comes again.
BETWEEN_BYTES = 2.0
AGAIN = 5.0
KINDS: tuple[tuple[bool, bytes], ...] = (
    (False, b""),
    (True, b""),
    (True, b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX: "),
    (True, b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"),
)


@contextlib.contextmanager
def flooded(address: str, connections: int) -> Iterator[dict[str, dict[str, int]]]:
    """So many connections to the address meanwhile; how many there were, first and in all."""
    sources = [str(each) for each in _sources()]
    for source in sources:
        _ip("add", source)
    said: dict[str, dict[str, int]] = {}
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.lab.flood", address, str(connections), *sources],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            try:
                said["first"] = json.loads(process.stdout.readline())
                yield said
                process.stdin.close()
                said["in all"] = json.loads(process.stdout.readline())
            finally:
                process.kill()
    finally:
        for source in sources:
            _ip("del", source)


def _sources() -> list[ipaddress.IPv4Address]:
    """Addresses of the lab's network that no host has."""
    return list(ipaddress.IPv4Network(paths.NETWORK).hosts())[-ADDRESSES:]


def _ip(verb: str, address: str) -> None:
    command = ["ip", "address", verb, f"{address}/32", "dev", paths.BRIDGE]
    subprocess.run(command, check=True, capture_output=True)


async def _flood(address: str, connections: int, sources: list[str]) -> None:
    counted: Counter[str] = Counter()
    tried = asyncio.Semaphore(0)
    gate = asyncio.Semaphore(200)
    # It believes anybody.
    believing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believing.check_hostname, believing.verify_mode = False, ssl.CERT_NONE

    async def keep(number: int) -> None:
        with_tls, said = KINDS[number % len(KINDS)]
        while True:
            writer = None
            try:
                async with gate:
                    reader, writer = await asyncio.open_connection(
                        *(address, 443),
                        ssl=believing if with_tls else None,
                        local_addr=(sources[number % len(sources)], 0),
                    )
                    # A refusal comes after the connection itself.
                    writer.write(said)
                    await asyncio.sleep(0)
                tried.release()
                counted["opened"] += 1
                while not reader.at_eof():
                    if said:
                        writer.write(b"x")
                        await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(65536), BETWEEN_BYTES)
                counted["let go"] += 1
            except (OSError, ssl.SSLError):
                counted["refused"] += 1
                tried.release()
            finally:
                if writer is not None:
                    writer.close()
            await asyncio.sleep(AGAIN)

    tasks = [asyncio.create_task(keep(number)) for number in range(connections)]
    for _ in range(connections):
        await tried.acquire()
    print(json.dumps(counted), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(counted), flush=True)
    del tasks


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_flood(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
