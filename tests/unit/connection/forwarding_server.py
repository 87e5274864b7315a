"""An SSH server that leads to ports of this machine, and does nothing else.

    python forwarding_server.py [refuse]

Prints a line for a file of known hosts, then its port, and serves until it is ended. With "refuse"
it lets everybody in and leads nowhere, as with AllowTcpForwarding no.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable

import paramiko

REFUSES = sys.argv[1:] == ["refuse"]


class Server(paramiko.ServerInterface):
    """One connection, with the ports that it leads to by the channel that waits for each."""

    def __init__(self) -> None:
        self.reached: dict[int, socket.socket] = {}

    def check_auth_password(self, username: str, password: str) -> int:
        del username, password
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        del origin
        if REFUSES:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            self.reached[chanid] = socket.create_connection(destination)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        return paramiko.OPEN_SUCCEEDED


def pass_on(receive: Callable[[int], bytes], send: Callable[[bytes], None], end: object) -> None:
    try:
        while data := receive(65536):
            send(data)
        end()  # type: ignore[operator]
    except OSError:
        return


def serve(connection: socket.socket, key: paramiko.PKey) -> None:
    transport = paramiko.Transport(connection)
    transport.add_server_key(key)
    server = Server()
    transport.start_server(server=server)
    while transport.is_active():
        channel = transport.accept(1)
        if channel is None or (reached := server.reached.get(channel.get_id())) is None:
            continue
        for ends in (
            (channel.recv, reached.sendall, lambda reached=reached: reached.shutdown(1)),
            (reached.recv, channel.sendall, channel.close),
        ):
            threading.Thread(target=pass_on, args=ends, daemon=True).start()


def main() -> None:
    key = paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        print(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}")
        print(port, flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve, args=(connection, key), daemon=True).start()


if __name__ == "__main__":
    main()
