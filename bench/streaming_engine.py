"""Imitate an engine that streams, fast: each event is the time at which it was sent."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of a connection: so many events with so many seconds in between."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", head)
            asked = json.loads(await reader.readexactly(int(length[1]))) if length else {}
            if "events" not in asked:
                writer.write(_SHORT)
                continue
            writer.write(_HEAD)
            for number in range(asked["events"]):
                if number:
                    await asyncio.sleep(asked["seconds"])
                event = f"data: {time.monotonic_ns():020}\n\n".encode()
                writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            writer.write(b"0\r\n\r\n")
    except (ConnectionError, asyncio.IncompleteReadError):
        writer.close()


async def main(port: int) -> None:
    """Listen on loopback until the process ends."""
    server = await asyncio.start_server(
        serve, "127.0.0.1", port, backlog=4096, reuse_port=True, reuse_address=True
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
