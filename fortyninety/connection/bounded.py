"""Bound every command on a host by a deadline, and notice when a host falls silent.

Otherwise a host that loses its power or its network during a command is waited for until the kernel
gives up on the connection, which never happens while nothing is being sent.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, TypeVar

import gevent
from paramiko import Channel, SSHException, Transport
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.output import echo
from pyinfra.connectors.util import (
    CommandOutput,
    OutputLine,
    extract_control_arguments,
    make_unix_command_for_host,
)

from fortyninety.connection import output, quicker
from fortyninety.connection.diagnosis import NOT_TAKEN
from fortyninety.connection.doing import doing_now
from fortyninety.deadlines import COMMAND
from fortyninety.lease import ChannelLost

# Seconds between two questions to the SSH server, and for its answer. The server of a busy machine
# answers within a fraction of a second.
QUESTION_INTERVAL = 10
SILENCE = 30

# Seconds in which a host must accept a connection and a login. pyinfra and paramiko bound TCP to
# 10 s, the banner and the keys to 15 s, the login to 30 s.
CONNECT = 60

# Seconds for the server to open a channel; paramiko would wait an hour. Longer than it takes to
# notice silence, so that a command on a silent host fails with that reason.
CHANNEL = QUESTION_INTERVAL + SILENCE + 5

# The first line of every command: a hardened host's login has 027 or 077, under which the service's
# account cannot read the files that root makes for it.
UMASK = "umask 022"

# Seconds beyond a command's deadline after which it is given up here.
_GRACE = 5

# The most bytes of a line that are read where nobody asks for more.
_LONGEST = 4096

Done = TypeVar("Done")


class HostLost(Exception):
    """A host could not be asked or did not answer, with the reason in one line."""


class _Late(BaseException):
    """A deadline passed."""


class Connection:
    """Wrap a pyinfra host's connector with deadlines and a watch.

    A command that exceeds its deadline, or whose host falls silent, fails with a reason in one
    line. Other attributes are those of the wrapped connector.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._connector: Any = host.connector
        self._watch: _Watch | None = None
        # Why it was not connected to at the last try, as pyinfra says it.
        self.failure = ""
        # What is to be done once more before the connection is given up.
        self.before_disconnect: Callable[[], None] | None = None
        if host.connected:
            self._begin_watch()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    @property
    def transport(self) -> Transport | None:
        """The SSH transport, or None for a connector that is not SSH's or not connected."""
        client = getattr(self._connector, "client", None)
        return None if client is None else client.get_transport()

    def connect(self) -> None:
        """Connect, or connect again. Raises pyinfra's ConnectError."""
        earlier = getattr(self._connector, "client", None)
        try:
            with _within(CONNECT):
                self._connector.connect()
            self.failure = ""
        except _Late:
            self.failure = f"no login within {CONNECT} s"
            raise ConnectError(self.failure) from None
        except UnicodeError as error:
            self.failure = f"its address is no name ({error})"
            raise ConnectError(self.failure) from error
        except (TypeError, ValueError) as error:
            # Of an argument in the inventory that there is not, or of another type.
            self.failure = f"{NOT_TAKEN}: {error}"
            raise ConnectError(self.failure) from error
        except PyinfraError as error:
            # Of a key file that is none as well: pyinfra would end the run of every host.
            self.failure = str(error)
            raise ConnectError(self.failure) from error
        finally:
            if earlier is not None and earlier is not self._connector.client:
                earlier.close()
        self._begin_watch()

    def another(self) -> Any:
        """A connector to the same host, not connected yet, that shares nothing with this one."""
        return type(self._connector)(self._host.state, self._host)

    def close(self) -> None:
        """End the connection at once, also during a command."""
        if (transport := self.transport) is not None:
            transport.close()

    def disconnect(self) -> None:
        """Disconnect as the connector does, once what is to come before is done."""
        # An operation that reboots the host comes back to it.
        if self.before_disconnect is not None and self._host.executing_op_hash is None:
            last, self.before_disconnect = self.before_disconnect, None
            last()
        if self._watch is not None:
            self._watch.end()
        disconnect = getattr(self._connector, "disconnect", None)
        if disconnect is not None:
            disconnect()

    def ask(
        self, command: Any, deadline: float | None = None, **arguments: Any
    ) -> tuple[bool, Any]:
        """Run a command; return whether it succeeded, and pyinfra's output.

        `arguments` are the connector's own. Raises HostLost where the connection ends, and where
        the command is not done within `deadline` seconds (`_timeout` of the arguments, or else
        COMMAND).
        """
        seconds = deadline or arguments.get("_timeout") or COMMAND
        arguments["_timeout"] = seconds
        umasked = StringCommand(UMASK, command, _separator="\n")
        done: tuple[bool, Any] = self._bounded(
            lambda: self._connector.run_shell_command(umasked, **arguments), command, seconds
        )
        return done

    def open(self, command: str, **arguments: Any) -> HostChannel:
        """Begin an interactive command. Raises ChannelLost.

        `arguments` are the connector's own.
        """
        if not self._over_ssh:
            raise ChannelLost("it is not reached over SSH, which holds its lease")
        if (transport := self.transport) is None or not transport.is_active():
            raise ChannelLost(self._silence or "cannot be reached: there is no connection")
        extract_control_arguments(arguments)  # type: ignore[arg-type]  # Taken out of them.
        try:
            with _within(COMMAND):
                whole = make_unix_command_for_host(
                    self._host.state, self._host, StringCommand(command), **arguments
                )
                channel = transport.open_session(timeout=CHANNEL)
                channel.exec_command(whole.get_raw_value())
        except _Late:
            raise ChannelLost(f"no answer within {COMMAND} s") from None
        except (PyinfraError, SSHException, OSError, EOFError) as error:
            raise ChannelLost(self._silence or f"cannot be reached: {error}") from error
        return HostChannel(channel)

    def run_shell_command(
        self, command: Any, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        """As `ask`, for pyinfra: where the host is lost, the command fails with the reason."""
        try:
            return self.ask(
                command, print_output=print_output, print_input=print_input, **arguments
            )
        except HostLost as lost:
            if print_output:  # pyinfra then assumes that all output is printed.
                echo(f"{self._host.print_prefix}{lost}", err=True)
            return False, CommandOutput([OutputLine("stderr", str(lost))])

    def put_file(
        self, filename_or_io: str | IO[Any], remote_filename: str, **arguments: Any
    ) -> bool:
        """Upload a file within COMMAND seconds; False, with the reason logged, where it fails."""
        try:
            done: bool = self._bounded(
                lambda: self._connector.put_file(filename_or_io, remote_filename, **arguments),
                f"an upload of {remote_filename}",
                arguments.get("_timeout") or COMMAND,
            )
        except HostLost as lost:
            echo(f"{self._host.print_prefix}{lost}", err=True)
            return False
        return done

    def _bounded(self, do: Callable[[], Done], command: Any, seconds: float) -> Done:
        if self._over_ssh and not self._alive:
            raise HostLost(self._silence or "cannot be reached: there is no connection")
        try:
            with _within(seconds + _GRACE):
                done = do()
        except (_Late, TimeoutError):
            if self._silence is not None:
                raise HostLost(self._silence) from None
            what = doing_now(self._host, command)
            raise HostLost(
                f"{what} was not done within {seconds:.0f} s, and may go on there. "
                "See what keeps the host (`dmesg`, `systemd-cgtop`), then run this again"
            ) from None
        except (PyinfraError, SSHException, OSError, EOFError) as error:
            raise HostLost(self._silence or f"cannot be reached: {error}") from error
        if self._over_ssh and not self._alive:
            raise HostLost(
                self._silence
                or f"the connection ended during {doing_now(self._host, command)}, which may go on "
                "there. Run this again when the host answers"
            )
        return done

    @property
    def _over_ssh(self) -> bool:
        return hasattr(self._connector, "client")

    @property
    def _alive(self) -> bool:
        transport = self.transport
        return transport is not None and transport.is_active()

    @property
    def _silence(self) -> str | None:
        return None if self._watch is None else self._watch.silence

    def _begin_watch(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if (transport := self.transport) is not None:
            transport.channel_timeout = CHANNEL  # type: ignore[attr-defined]
            _send_at_once(transport)
            self._watch = _Watch(transport)


def _send_at_once(transport: Transport) -> None:
    """Have small packets wait for no answer to those before.

    The end of a command is one to which a host has nothing to say but TCP's acknowledgement, which
    comes after 40 ms on Linux: so long the next command waited. OpenSSH's own client sets this too.
    """
    # A jump host's channel or a proxy's command has no such option.
    if isinstance(transport.sock, socket.socket):
        with suppress(OSError):
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class HostChannel:
    """A running command on a host; implements `lease.Channel`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._rest = b""

    def write(self, line: str) -> None:
        """Write a line of input. Raises ChannelLost."""
        try:
            self._channel.settimeout(CHANNEL)
            self._channel.sendall(f"{line}\n".encode())
        except (SSHException, OSError, EOFError) as error:
            raise ChannelLost(f"the connection takes nothing: {error}") from error

    def read(self, seconds: float, longest: int = _LONGEST) -> str:
        """Read a line of at most `longest` bytes. Raises ChannelLost where none came, with why."""
        until = time.monotonic() + seconds
        while b"\n" not in self._rest and len(self._rest) < longest:
            try:
                self._channel.settimeout(max(0.01, until - time.monotonic()))
                more = self._channel.recv(longest)
            except (SSHException, OSError, EOFError) as error:
                raise ChannelLost(str(error) or f"no answer within {seconds:.0f} s") from error
            if not more:
                raise ChannelLost(self._last_words())
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return f"{line[:longest].decode(errors='replace')}\n"

    def ended(self) -> bool:
        """Whether the command or its connection ended."""
        # Its last output may not have been read yet.
        return bool(self._channel.closed or self._channel.eof_received)

    def close(self) -> None:
        """Close its input and output."""
        with suppress(SSHException, OSError, EOFError):
            self._channel.close()

    def _last_words(self) -> str:
        """Its standard error, as the reason of its end."""
        said = b""
        with suppress(SSHException, OSError, EOFError):
            self._channel.settimeout(1)
            while len(said) < _LONGEST and (more := self._channel.recv_stderr(_LONGEST)):
                said += more
        words = " ".join(said.decode(errors="replace").split())
        return "".join(each for each in words if each.isprintable())[:200] or "it ended"


class _Watch:
    """Asks an SSH server regularly for an answer, and closes the connection without one.

    The answer comes from the host itself, also through jump hosts. TCP acknowledgements may come
    from a jump host, or from the kernel of a machine whose programs are stuck.
    """

    def __init__(self, transport: Transport) -> None:
        self.silence: str | None = None
        self._transport = transport
        self._ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(QUESTION_INTERVAL) and self._transport.is_active():
            began = time.monotonic()
            if self._answers() or self._ended.is_set():
                continue
            silent = time.monotonic() - began
            self.silence = (
                f"was silent for {silent:.0f} s: its power, its network or its SSH server is gone. "
                "What was begun there may go on; when it answers again, run this again"
            )
            self._transport.close()

    def _answers(self) -> bool:
        question = threading.Thread(target=self._ask, daemon=True)
        question.start()
        # In small steps: a machine that was suspended, or too busy to listen, has not waited.
        for _ in range(round(SILENCE * 4)):
            question.join(0.25)
            if not question.is_alive():
                return True
        return False

    def _ask(self) -> None:
        # Refused or granted, it is an answer; the transport knows when the connection ended.
        with suppress(SSHException, OSError, EOFError):
            self._transport.global_request("keepalive@openssh.com", wait=True)


def bounded(host: Host) -> Connection:
    """Wrap the host's connector, once, and return it; its output becomes fit for a terminal."""
    output.install()
    quicker.install()
    if not isinstance(host.connector, Connection):
        host.connector = Connection(host)  # type: ignore[assignment]
    connection: Connection = host.connector  # type: ignore[assignment]
    return connection


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    with gevent.Timeout(seconds, _Late):
        yield
