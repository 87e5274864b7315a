"""Lab hosts with many names at a distance, as `bench.converge` measures larger fleets."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from bench.many_names import inventory_text, known_elsewhere
from bench.relays import relays


class _Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while some := self.request.recv(65536):
            self.request.sendall(some)


@pytest.fixture
def echoing() -> Iterator[tuple[str, int]]:
    """The address of a server that says what it is told."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield ("127.0.0.1", server.server_address[1])
        server.shutdown()
        thread.join()


def test_each_way_to_a_host_takes_half_a_round_trip(echoing: tuple[str, int]) -> None:
    with relays([echoing], 0.2) as ports:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", ports[echoing])) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"hello"
            # That of the connection itself, and that of the question.
            assert time.monotonic() - began >= 0.4


def test_everything_arrives_in_order_up_to_the_end(echoing: tuple[str, int]) -> None:
    said = bytes(range(256)) * 8192
    with (
        relays([echoing], 0.01) as ports,
        socket.create_connection(("127.0.0.1", ports[echoing])) as connection,
    ):
        sending = threading.Thread(target=_say, args=(connection, said))
        sending.start()
        heard = b""
        while some := connection.recv(65536):
            heard += some
        sending.join()
    assert heard == said


def _say(connection: socket.socket, said: bytes) -> None:
    connection.sendall(said)
    connection.shutdown(socket.SHUT_WR)


def test_what_is_still_open_ends_with_the_relays(echoing: tuple[str, int]) -> None:
    with relays([echoing], 0.01) as ports:
        connection = socket.create_connection(("127.0.0.1", ports[echoing]))
        connection.sendall(b"hello")
        assert connection.recv(100) == b"hello"
    with connection:
        assert connection.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports[echoing]))


def test_an_inventory_has_a_name_for_each_box() -> None:
    read: dict[str, list[tuple[str, dict[str, str]]]] = {}
    exec(inventory_text([{"at": "first"}, {"at": "second"}]), read)
    assert read["lab"] == [("box1", {"at": "first"}), ("box2", {"at": "second"})]


def test_each_way_to_a_host_is_known_by_the_key_of_that_host() -> None:
    known = "192.0.2.1 ssh-ed25519 AAAA\n192.0.2.2 ssh-ed25519 BBBB\n"
    ways = {("192.0.2.2", 2201): ("127.0.0.1", 4022), ("192.0.2.1", 22): ("192.0.2.1", 22)}
    assert known_elsewhere(known, ways) == (
        "[127.0.0.1]:4022 ssh-ed25519 BBBB\n192.0.2.1 ssh-ed25519 AAAA\n"
    )
