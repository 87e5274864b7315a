"""Define the types of values that settings have, each with what it refuses and what it takes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from fortyninety.releases.release import known_releases
from fortyninety.settings.account_names import account_problem
from fortyninety.settings.addresses import (
    is_file_address,
    is_host_name,
    is_http_address,
    is_network,
    is_shared_address,
)
from fortyninety.settings.folders import folder_problem

# How long a text and a list may be at most: far above what anybody needs, and below what a command
# line over SSH takes. Source: MAX_ARG_STRLEN of the kernel, 128 KiB for one word, which the whole
# command is to the shell of a host.
LONGEST_TEXT = 4096
MOST_WORDS = 128
LONGEST_LINE = 16384


def _all_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a character that no word of a command line can hold")
    return text


def _word(text: str) -> str:
    if not text.isprintable() or text.startswith("-") or any(map(str.isspace, text)):
        raise ValueError("no word")
    return text


def _short_line(words: list[str]) -> list[str]:
    if sum(len(word.encode()) + 1 for word in words) > LONGEST_LINE:
        raise ValueError("too long a line")
    return words


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise PydanticCustomError("refused", "{reason}", {"reason": reason})


def _folder(path: str) -> str:
    _refuse(folder_problem(path))
    return path


def _account(name: str) -> str:
    _refuse(account_problem(name))
    return name


def _release(name: str) -> str:
    if name not in known_releases():
        _refuse(f"one of {', '.join(known_releases())}")
    return name


def _http_address(text: str) -> str:
    if not is_http_address(text):
        raise ValueError("no address")
    return text


def _bare_address(text: str) -> str:
    if text.endswith("/"):
        raise ValueError("a final slash")
    return _http_address(text)


def _source(text: str) -> str:
    """A folder that is read once, by root, and whose every byte is verified; or an address."""
    if not text.startswith("/"):
        return _bare_address(text)
    if re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", text) is None or {".", ".."} & set(text.split("/")):
        raise ValueError("no folder")
    return text


def _python_mirror(text: str) -> str:
    return text if is_file_address(text) else _http_address(text)


def _apt_repository(text: str) -> str:
    own = f"file://{text.removeprefix('file:')}" if text.startswith("file:/") else text
    return text if is_file_address(own) and not text.endswith("/") else _bare_address(text)


def _host(text: str) -> str:
    if not is_host_name(text):
        raise ValueError("no host name")
    return text


def _each_once(words: list[str]) -> list[str]:
    if len(set(words)) < len(words):
        raise ValueError("one of them twice")
    return words


def _network(text: str) -> str:
    if not is_network(text):
        raise ValueError("no network")
    return text


def _shared_address(text: str) -> str:
    if not is_shared_address(text):
        raise ValueError("no address with a prefix")
    return text


Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_all_printable)]
# Of an engine's command line.
Words = Annotated[
    list[Text],
    Field(
        max_length=MOST_WORDS,
        description=f"a list of at most {MOST_WORDS} texts, one for each word of the command line, "
        f"none of them empty, {LONGEST_LINE} bytes in all, and no control characters or line ends "
        "in them",
    ),
    AfterValidator(_short_line),
]
Folder = Annotated[str, AfterValidator(_folder), Field(description="an absolute path, as text")]
# As hubs name them: no part begins or ends with a point or a dash, so that none is "..".
RepositoryName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
        r"/[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$",
        description="organisation/name",
    ),
]
# Without a user or a password: they would stand on a command line, in a log, in the process list.
HttpAddress = Annotated[str, AfterValidator(_http_address)]
HubAddress = Annotated[
    str,
    AfterValidator(_bare_address),
    Field(
        description="an address that begins with http:// or https://, without a final slash, and "
        "holds no user or password (hub_token says where a token is)"
    ),
]
SnapshotSource = Annotated[
    str,
    Field(
        max_length=500,
        description="an absolute path on the hosts, or an address that begins with http:// or "
        "https://, without a final slash, and holds no user or password",
    ),
    AfterValidator(_source),
]
PythonMirror = Annotated[
    str,
    AfterValidator(_python_mirror),
    Field(
        description="an address that begins with http://, https:// or file:/// and holds no user "
        "or password"
    ),
]
AptRepository = Annotated[
    str,
    AfterValidator(_apt_repository),
    Field(
        description="an address that begins with http://, https:// or file:/, without a final "
        "slash, and holds no user or password"
    ),
]
HostName = Annotated[
    str, AfterValidator(_host), Field(description="a host's name, or its IPv4 or IPv6 address")
]
Roles = Annotated[
    list[Literal["engine", "gateway", "monitor"]],
    Field(
        min_length=1,
        max_length=3,
        description="a list of 'engine', 'gateway' and 'monitor', at least one and each once",
    ),
    AfterValidator(_each_once),
]
Networks = Annotated[
    list[Annotated[str, AfterValidator(_network)]],
    Field(
        max_length=200,
        description="a list of at most 200 networks of IPv4 or IPv6, such as ['192.0.2.0/24'], "
        "whose address has no bit beyond the prefix",
    ),
]
SharedAddress = Annotated[
    str,
    AfterValidator(_shared_address),
    Field(description="an IPv4 or IPv6 address with its network's prefix, such as '192.0.2.10/24'"),
]
Watts = Annotated[int, Field(ge=1, le=10_000)]
# A card's UUID, or its PCI address as the kernel or nvidia-smi writes it.
CardKey = Annotated[
    str,
    Field(
        pattern=r"^(GPU-[0-9a-f-]{1,64}"
        r"|([0-9A-Fa-f]{4}){1,2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])$"
    ),
]
CommitHash = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{40}$",
        description="a full commit hash of 40 hexadecimal digits (a branch name moves)",
    ),
]
ReleaseName = Annotated[
    str, AfterValidator(_release), Field(description="the name of a folder of engines/, as text")
]
AccountName = Annotated[
    str, AfterValidator(_account), Field(description="the name of a Linux account")
]
# One word of a command line that is no flag.
Word = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="a name of at most 200 characters without white space, control characters or "
        "a '-' in front",
    ),
    AfterValidator(_word),
]
# Where the Hub's token is: never the token itself.
TokenPlace = Annotated[
    str,
    Field(
        pattern=r"^(file:(~/|/)[!-~]{1,500}|environment:[A-Za-z_][A-Za-z0-9_]{0,200})$",
        description="where the token is and never the token: 'file:/path' or 'environment:NAME'",
    ),
]
# A file of the machine that deploys.
ControllerFile = Annotated[
    str,
    Field(
        pattern=r"^(~/|/)[!-~]{1,500}$",
        description="the full path of a file on this machine, or one that begins with ~/",
    ),
]
