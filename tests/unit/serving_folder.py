"""Folders over HTTP on loopback, for tests that fetch from a mirror or a package index."""

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ServeFolder = Callable[[Path], str]


@pytest.fixture
def serve_folder() -> Iterator[ServeFolder]:
    """Serve folders, each at an address of its own; stop them all in the end."""
    running: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def serve(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()
