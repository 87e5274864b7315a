"""Reach a host by a connection that is made now and shares nothing with the one that there is."""

from __future__ import annotations

import gevent
from paramiko import SSHException
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host

from fortyninety.connection.bounded import bounded
from fortyninety.text.printable import printable


class _Late(BaseException):
    """It took too long."""


def why_not_anew(host: Host, seconds: float) -> str | None:
    """Log in to the host anew and run a command there; why that fails, or None.

    Every packet of it is a new connection's to a firewall on the host, which lets those that there
    are go on.
    """
    connector = bounded(host).another()
    try:
        with gevent.Timeout(seconds, _Late):
            connector.connect()
            succeeded, output = connector.run_shell_command(StringCommand("exit", "0"))
    except _Late:
        return f"no login within {seconds:.0f} s"
    except (PyinfraError, SSHException, OSError, EOFError) as error:
        return printable(str(error), 300) or type(error).__name__
    finally:
        if connector.client is not None:
            connector.client.close()
    return None if succeeded else printable(f"a command there failed: {output.stderr}", 300)
