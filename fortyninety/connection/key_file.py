"""Say what is wrong with a private key's file, without asking for its password."""

from __future__ import annotations

import os
from typing import Literal

from pyinfra.connectors.ssh_util import load_key_with_certificate

from fortyninety.connection.home import expanded
from fortyninety.connection.way import path_word

KeyFault = Literal["missing", "unreadable", "no key", "encrypted"]

_DEFAULT_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")


def key_fault(path: str) -> KeyFault | None:
    """What is wrong with the file, or None."""
    file = expanded(path)
    try:
        if not file.is_file():
            return "missing"
        file.open("rb").close()
    except PermissionError:
        return "unreadable"
    except OSError:
        # A name too long for one, a loop of links.
        return "missing"
    try:
        load_key_with_certificate(str(file), allow_prompt=False)
    except Exception as error:
        # Whatever a file of nonsense makes of a parser.
        return "encrypted" if "is encrypted" in str(error) else "no key"
    return None


def offered_keys(path: str | None) -> str:
    """Which keys a login offers, in words: the named file's, or the agent's and the default."""
    if path is not None:
        return f"the key {path_word(path)}"
    default = [name for name in _DEFAULT_NAMES if os.access(expanded(f"~/.ssh/{name}"), os.R_OK)]
    agent = (
        ["those of ssh-agent (`ssh-add -l` lists them)"] if os.environ.get("SSH_AUTH_SOCK") else []
    )
    offered = [*agent, *(f"~/.ssh/{name}" for name in default)]
    if not offered:
        return "no key at all: there is no ssh-agent, and no key in ~/.ssh"
    return f"the keys {', '.join(offered)}"
