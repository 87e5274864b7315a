"""Measure what the gateway costs: time to the first byte and per event, requests/s, memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fortyninety.checkout import ROOT


@dataclass
class Way:
    """A way to the engine: through the gateway, or around it."""

    port: int
    secret: str
    context: ssl.SSLContext | None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that is ready for requests."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)

    def request(self, **body: Any) -> bytes:
        """The bytes of a request."""
        content = json.dumps(body).encode()
        return (
            f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.secret}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        ).encode() + content


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=200, show_default=True, help="Pairs of streams of 20 events.")
@click.option("--streams", default=200, show_default=True, help="Open at once, for the memory.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(rounds: int, streams: int, as_json: bool) -> None:
    """Ask an imitated streaming engine through the gateway and around it, in turns, on loopback.

    The gateway shares the machine with the client, whose own TLS counts too.

    \b
    Examples:
      python -m bench.gateway
      python -m bench.gateway --json > before.json
    """
    from tests.unit.gateway.fake_engine import FakeEngine  # noqa: PLC0415
    from tests.unit.gateway.running_gateway import RunningGateway, made_key  # noqa: PLC0415

    # Both ends of each stream, and those of the gateway to the engine.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.environ.update(_units_environment())
    place = FakeEngine()
    engine = subprocess.Popen([sys.executable, "-m", "bench.streaming_engine", str(place.port)])
    with tempfile.TemporaryDirectory() as folder:
        gateway = RunningGateway(
            Path(folder), place, connections=streams + 100, connections_per_client=streams + 100
        )
        try:
            gateway.start()
            secret, key = made_key("bench", requests_per_minute=100_000, concurrent=1000)
            gateway.give(key)
            assert gateway.process is not None
            ways = {
                "through": Way(gateway.port, secret, gateway.context()),
                "around": Way(place.port, secret, None),
            }
            result = asyncio.run(_measured(ways, rounds, streams, gateway.process.pid))
        finally:
            gateway.stop()
            engine.kill()
            engine.wait()
            place.close()
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            click.echo(f"{name.replace('_', ' '):<36}{value:>10}")


def _units_environment() -> dict[str, str]:
    """How the unit has memory given out, which costs or saves half of the requests."""
    unit = (ROOT / "templates/fortyninety-gateway.service.j2").read_text()
    return dict(re.findall(r"(MALLOC_\w+)=(\d+)", unit))


async def _measured(ways: dict[str, Way], rounds: int, streams: int, pid: int) -> dict[str, Any]:
    await asyncio.sleep(1)  # Until the engine listens.
    first: dict[str, list[float]] = {name: [] for name in ways}
    late: dict[str, list[float]] = {name: [] for name in ways}
    open_ = {name: await way.connect() for name, way in ways.items()}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            began = time.monotonic_ns()
            reader, writer = open_[name]
            writer.write(ways[name].request(events=20, seconds=0.005))
            for event in range(20):
                sent = re.findall(rb"data: ([0-9]+)", await reader.readuntil(b"\n\n"))
                now = time.monotonic_ns()
                if not event:
                    first[name].append((now - began) / 1e6)
                late[name].append((now - int(sent[0])) / 1e6)
            await reader.readuntil(b"0\r\n\r\n")
    result: dict[str, Any] = {}
    for what, of in (("first_byte", first), ("event", late)):
        for share, quantile in (("median", 50), ("p99", 99)):
            values = {name: statistics.quantiles(of[name], n=100)[quantile - 1] for name in of}
            result |= {
                f"{what}_{share}_ms_{name}": round(value, 3) for name, value in values.items()
            }
            result[f"{what}_{share}_ms_added"] = round(values["through"] - values["around"], 3)
    for name, way in ways.items():
        result[f"requests_per_second_{name}"] = await _rate(way)
    before = _resident(pid)
    held = []
    for _ in range(streams):
        reader, writer = await ways["through"].connect()
        writer.write(ways["through"].request(events=2, seconds=600))
        await reader.readuntil(b"\n\n")
        held.append(writer)
    result["streams_open"] = len(held)
    result["gateway_mb_before"] = round(before, 1)
    result["gateway_mb_with_streams"] = round(_resident(pid), 1)
    for writer in held:
        writer.transport.abort()
    return result


async def _rate(way: Way, connections: int = 16, each: int = 200) -> int:
    async def ask() -> None:
        reader, writer = await way.connect()
        for _ in range(each):
            writer.write(way.request(prompt="x"))
            answer = await reader.readuntil(b"{}")
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise click.ClickException(f"the gateway answered {answer[:60]!r}")

    began = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(connections)))
    return round(connections * each / (time.monotonic() - began))


def _resident(pid: int) -> float:
    """MB of memory that the process has."""
    found = re.search(r"VmRSS:\s+([0-9]+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
