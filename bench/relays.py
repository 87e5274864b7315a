"""Put hosts at a distance: relays of TCP that keep every byte back for a while.

For links whose kernel has no netem. What a relay does not imitate is a window that is too small for
the distance: it reads as fast as it is sent to.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Address = tuple[str, int]


@contextmanager
def relays(targets: Iterable[Address], round_trip: float) -> Iterator[dict[Address, int]]:
    """A port of 127.0.0.1 for each target, which is `round_trip` seconds away behind it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers: dict[Address, asyncio.Server] = {}
    try:
        for target in targets:
            opening = asyncio.run_coroutine_threadsafe(_open(target, round_trip), loop)
            servers[target] = opening.result()
        yield {target: each.sockets[0].getsockname()[1] for target, each in servers.items()}
    finally:
        asyncio.run_coroutine_threadsafe(_end(servers.values()), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _open(target: Address, round_trip: float) -> asyncio.Server:
    async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            # As long as the handshake of a connection that goes there itself.
            await asyncio.sleep(round_trip)
            there, to_there = await asyncio.open_connection(*target)
            ends.append(to_there)
            await asyncio.gather(
                _carry(reader, to_there, round_trip / 2), _carry(there, writer, round_trip / 2)
            )
        except (OSError, asyncio.CancelledError):
            pass  # Who was connected is told by the end of it.
        finally:
            for each in ends:
                each.close()

    return await asyncio.start_server(relayed, "127.0.0.1", 0, backlog=1024)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    """Hand on what comes, each piece `seconds` after it came, until the end comes."""
    loop = asyncio.get_running_loop()
    # An empty piece is the end.
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def receive() -> None:
        piece = b"more"
        while piece:
            piece = await reader.read(65536)
            pieces.put_nowait((loop.time() + seconds, piece))

    receiving = asyncio.create_task(receive())
    try:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(due - loop.time())
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    finally:
        receiving.cancel()


async def _end(servers: Iterable[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    relaying = asyncio.all_tasks() - {asyncio.current_task()}
    for each in relaying:
        each.cancel()
    await asyncio.gather(*relaying, return_exceptions=True)
    # A closed connection is let go of in the turn after.
    await asyncio.sleep(0)
