"""Say how a host is reached, by its inventory: the address, and the `ssh` line of the same way."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyinfra.connectors.sshuserclient.config import SSHConfig

from fortyninety.connection.home import expanded
from fortyninety.connection.host_keys import SETTING, STRICT

_PLAIN_PATH = re.compile(r"~?[A-Za-z0-9._/+=:,@-]+")


@dataclass(frozen=True)
class Way:
    """How SSH reaches a host. None is what SSH's own configuration or defaults say."""

    address: str
    port: int | None = None
    user: str | None = None
    key: str | None = None
    known_hosts: str | None = None
    config: str | None = None
    sudo: bool = False
    strict_keys: bool = True

    @classmethod
    def of(cls, name: str, data: Mapping[str, Any]) -> Way:
        """The way to a host of an inventory by its data, valid or not."""

        def text(key: str) -> str | None:
            value = data.get(key)
            return value if isinstance(value, str) and value else None

        port = data.get("ssh_port")
        return cls(
            address=text("ssh_hostname") or name,
            port=port if type(port) is int and 1 <= port <= 65535 else None,
            user=text("ssh_user"),
            key=text("ssh_key"),
            known_hosts=text("ssh_known_hosts_file"),
            config=text("ssh_config_file"),
            sudo=bool(data.get("_sudo")),
            strict_keys=data.get(SETTING) in (None, STRICT),
        )

    @property
    def options(self) -> str:
        """OpenSSH's options for this way but for the port, each with a blank before it."""
        given = [
            ("-F ", self.config),
            ("-i ", self.key),
            ("-oUserKnownHostsFile=", self.known_hosts),
        ]
        return "".join(f" {option}{path_word(path)}" for option, path in given if path)

    @property
    def destination(self) -> str:
        """The user, where one is set, and the address, as a word of a shell."""
        return shlex.quote(f"{self.user}@{self.address}" if self.user else self.address)

    @property
    def ssh(self) -> str:
        """The command line that goes the same way by hand."""
        port = "" if self.port in (None, 22) else f" -p {self.port}"
        return f"ssh{self.options}{port} {self.destination}"

    @property
    def resolved(self) -> tuple[str, int]:
        """The address and the port after SSH's configuration had its say."""
        found = self._configured()
        return str(found.get("hostname") or self.address), self.port or _port(found.get("port"))

    @property
    def has_jump_host(self) -> bool:
        """Whether SSH's configuration goes there through another host or a command."""
        return bool({"proxyjump", "proxycommand"} & self._configured().keys())

    def _configured(self) -> Mapping[str, Any]:
        file = expanded(self.config or "~/.ssh/config")
        config = SSHConfig()
        try:
            with file.open(encoding="utf-8") as lines:
                config.parse(lines)  # type: ignore[no-untyped-call]
            return dict(config.lookup(self.address))
        except Exception:
            # SSH itself says what is wrong with it.
            return {}


def _port(said: object) -> int:
    """The port that SSH's configuration says; SSH's own where it says none that there is."""
    port = str(said)
    return int(port) if re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536 else 22


def path_word(path: str) -> str:
    """A path as a word of a shell, which still expands a "~" at its beginning."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)
