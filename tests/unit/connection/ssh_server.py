"""An SSH server that runs what it is told, each connection in a process that a test may stop.

Prints its port and its key, then serves until it is ended. Any user, key and password are let in;
nobody where its first argument is "refuse", and where it is "wait" no login is answered. A second
argument runs the commands instead of sh. Commands find the connection's process in $SERVER.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO

import paramiko
from paramiko.common import cMSG_CHANNEL_SUCCESS

REFUSES, WAITS = (sys.argv[1:2] == [word] for word in ("refuse", "wait"))
LOGIN = paramiko.AUTH_FAILED if REFUSES else paramiko.AUTH_SUCCESSFUL
SHELL = sys.argv[2] if len(sys.argv) > 2 else "sh"


class Transport(paramiko.Transport):
    """Says when a channel's command was answered: paramiko has its thread begun before that.

    What ends sooner closes the channel first, and the client takes its command for refused.
    """

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self.unanswered: dict[int, threading.Event] = {}

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]
        said = data.asbytes()
        if said[:1] == cMSG_CHANNEL_SUCCESS:
            answered = self.unanswered.pop(int.from_bytes(said[1:5], "big"), None)
            if answered is not None:
                answered.set()


class Server(paramiko.ServerInterface):
    """One connection: commands run in a shell here, with the channel for their files."""

    def check_auth_password(self, username: str, password: str) -> int:
        del username, password
        return LOGIN

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        del username, key
        if WAITS:
            threading.Event().wait()
        return LOGIN

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "publickey,password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        transport = channel.get_transport()
        assert isinstance(transport, Transport)
        answered = transport.unanswered[channel.remote_chanid] = threading.Event()
        threading.Thread(target=run, args=(channel, command, answered), daemon=True).start()
        return True


def run(channel: paramiko.Channel, command: bytes, answered: threading.Event) -> None:
    answered.wait()
    process = subprocess.Popen(
        [SHELL, "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "SERVER": str(os.getpid())},
    )
    assert process.stdin is not None

    def feed() -> None:
        while data := channel.recv(65536):
            process.stdin.write(data)
        process.stdin.close()

    def pass_on(stream: IO[bytes] | None, send: Callable[[bytes], None]) -> None:
        assert stream is not None
        while data := stream.read(65536):
            send(data)

    threading.Thread(target=feed, daemon=True).start()
    outputs = [
        threading.Thread(target=pass_on, args=(process.stdout, channel.sendall)),
        threading.Thread(target=pass_on, args=(process.stderr, channel.sendall_stderr)),
    ]
    for output in outputs:
        output.start()
    for output in outputs:
        output.join()
    channel.send_exit_status(process.wait())
    channel.close()


def serve(connection: socket.socket, key: paramiko.PKey) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    transport = Transport(connection)
    transport.add_server_key(key)
    transport.start_server(server=Server())
    transport.join()
    os._exit(0)


def main() -> None:
    key = paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1])
        print(key.get_name(), key.get_base64(), flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                serve(connection, key)
            connection.close()


if __name__ == "__main__":
    main()
