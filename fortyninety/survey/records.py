"""Parse the survey's records: each of a known kind, each field of a known form.

A host is asked what it is like, and its answer decides what root does there next. It may come from
a host that is somebody else's by now, so it is believed only as far as its form goes: a record of
an unknown kind, with a field too many or of another form, or one that should be the only one of its
kind and is not, makes the whole reading unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

# Of one reading. A host with 400 packages of kernels and drivers prints some 600 records, 100 kB.
MOST_RECORDS = 20_000
MOST_CHARACTERS = 4_000_000
# Of one kind, where there may be several.
MANY = 5_000
# Characters of a record that a message quotes.
QUOTED = 160


class Unreadable(Exception):
    """Why an answer of a host is not a reading, in one line that is fit for a terminal."""


@dataclass(frozen=True)
class Form:
    """What a field may be: a pattern of the whole of it, and what that is called."""

    name: str
    pattern: re.Pattern[str]


def form(name: str, pattern: str) -> Form:
    """A form of this name."""
    return Form(name, re.compile(pattern, re.ASCII))


@dataclass(frozen=True)
class Kind:
    """The fields of a kind of record, and how many records of it a reading has.

    `name` is which field no two records of the kind have alike, None where they may.
    """

    fields: tuple[Form, ...] = ()
    least: int = 0
    most: int = MANY
    name: int | None = None


def one(*fields: Form) -> Kind:
    """A kind of which every reading has one record."""
    return Kind(fields, least=1, most=1)


def perhaps(*fields: Form) -> Kind:
    """A kind of which a reading has one record or none."""
    return Kind(fields, most=1)


def several(*fields: Form, name: int | None = None) -> Kind:
    """A kind of which a reading has any number of records."""
    return Kind(fields, name=name)


# The host's words, for people or to be compared: printable ASCII, which the script sees to.
TEXT = form("a line of text", r"[ -~]{0,4000}")
LONG_TEXT = form("a text", r"[ -~]{0,200000}")
WORD = form("a word", r"[!-~]{1,500}")
IDENTIFIER = form("an identifier", r"[0-9A-Za-z_-]{1,64}")
NUMBER = form("a number", r"[0-9]{1,18}")
FINGERPRINT = form("a key's fingerprint", r"[0-9A-F]{40,64}")
SHA256 = form("a SHA-256", r"[0-9a-f]{64}")
DIGEST = form("a digest", r"[0-9a-f]{1,64}")
COMMIT = form("a commit", r"[0-9a-f]{40}")
MODE = form("a mode", r"[0-7]{1,4}")
PATH = form("a path", r"/[!-~]{1,1000}")
# dpkg's own rules (deb-version(7), deb-control(5)); "" is the version of one that is not installed.
PACKAGE = form("a package", r"[0-9A-Za-z][0-9A-Za-z+._-]{0,200}")
PACKAGE_VERSION = form("a package's version", r"([0-9A-Za-z][0-9A-Za-z.+~:-]{0,200})?")
KERNEL = form("a kernel's release", r"[0-9A-Za-z][0-9A-Za-z._+~:-]{0,254}")
PERHAPS_KERNEL = form("a kernel's release", r"([0-9A-Za-z][0-9A-Za-z._+~:-]{0,254})?")
VERSION = form("a version", r"[0-9A-Za-z][0-9A-Za-z._+~:-]{0,254}")
PERHAPS_VERSION = form("a version", r"([0-9A-Za-z][0-9A-Za-z._+~:-]{0,254})?")
DRIVER_VERSION = form("a driver's version", r"[0-9]{1,4}(\.[0-9]{1,6}){0,3}")
# "<release>-<the first digits of its lock's hash>", see Release.environment_name.
ENVIRONMENT = form("an environment", r"[0-9A-Za-z][0-9A-Za-z.+-]{0,80}-[0-9a-f]{12}")
PERHAPS_ENVIRONMENT = form("an environment", r"([0-9A-Za-z][0-9A-Za-z.+-]{0,80}-[0-9a-f]{12})?")
CONFIGURATION = form("a configuration", r"[0-9a-f]{16}")
LEFTOVER = form("what a fetch left", r"\.(partial|incoming|lock)-[0-9a-f]{40}")
PCI_ADDRESS = form("a PCI address", r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
PCI_DEVICE = form("a PCI device", r"0x[0-9a-f]{4}")
UNIT_LINE = form("a property of a unit", r"([A-Za-z]{1,40}=[ -~]{0,4000})?")
ACCOUNT = form(
    "an account",
    r"([^:\s]{1,64}:[ -9;-~]{0,200}:[0-9]{1,10}:[0-9]{1,10}(:[ -9;-~]{0,500}){3})?",
)
# Certificates alone, with "|" for the ends of lines.
PEM = form("certificates", r"[A-Za-z0-9+/=| -]{0,65536}")
PORT = form("a port", r"[1-9][0-9]{0,4}")
# As SSH_CONNECTION has it: of IPv4 or IPv6, perhaps with the interface of its link.
ADDRESS = form("an address", r"[0-9A-Fa-f:.]{2,45}(%[0-9A-Za-z_.-]{1,15})?")
IPV4 = form("an IPv4 address", r"[0-9]{1,3}(\.[0-9]{1,3}){3}")


def word_of(*words: str) -> Form:
    """One of a few words."""
    return form(" or ".join(words), "|".join(re.escape(word) for word in words))


def parse_records(lines: Iterable[str], kinds: Mapping[str, Kind]) -> dict[str, list[list[str]]]:
    """The fields of the records between `begin` and `end`, by kind; every kind has its list.

    What comes before `begin` is left out: a shell may greet. Raises Unreadable, quoting the record
    that is to blame.
    """
    records: dict[str, list[list[str]]] = {kind: [] for kind in kinds}
    for number, line in enumerate(_between_marks(lines), start=1):
        name, *fields = line.split("\t")
        if name not in kinds:
            raise Unreadable(f"record {number}, {quoted(line)}, is of a kind that nobody asked for")
        _check_fields(number, line, kinds[name], fields)
        records[name].append(fields)
    for name, kind in kinds.items():
        _check_number(name, kind, records[name])
    return records


def _between_marks(lines: Iterable[str]) -> Iterator[str]:
    """The lines after `begin`, once `end` is seen to come after them and nothing after that."""
    inside: list[str] | None = None
    first: str | None = None
    size = 0
    given = iter(lines)
    for count, line in enumerate(given, start=1):
        first = line if first is None else first
        size += len(line)
        if count > MOST_RECORDS or size > MOST_CHARACTERS:
            raise Unreadable(
                f"more than {MOST_RECORDS:,} records or {MOST_CHARACTERS:,} characters"
            )
        if inside is None:
            inside = [] if line == "begin" else None
        elif line == "end":
            break
        else:
            inside.append(line)
    else:
        if first is None:
            raise Unreadable("nothing")
        if inside is None:
            raise Unreadable(f"{quoted(first)} in the place of its first record")
        raise Unreadable(f"a reading that was cut off after {len(inside):,} records")
    for line in given:
        raise Unreadable(f"after its end there is {quoted(line)}")
    yield from inside


def quoted(line: str) -> str:
    """A line of a host as a message quotes it: escaped, in quotes, and cut."""
    return ascii(line if len(line) <= QUOTED else f"{line[:QUOTED]} ...")


def _check_fields(number: int, line: str, kind: Kind, fields: list[str]) -> None:
    if len(fields) != len(kind.fields):
        raise Unreadable(
            f"record {number}, {quoted(line)}, has {len(fields)} fields; expected "
            f"{len(kind.fields)}"
        )
    for field, expected in zip(fields, kind.fields, strict=True):
        if expected.pattern.fullmatch(field) is None:
            raise Unreadable(
                f"record {number}, {quoted(line)}: {quoted(field)} is not {expected.name}"
            )


def _check_number(name: str, kind: Kind, found: list[list[str]]) -> None:
    if not kind.least <= len(found) <= kind.most:
        more = "" if kind.least == kind.most else f" to {kind.most:,}"
        raise Unreadable(f"{len(found):,} records of kind {name!r}; expected {kind.least}{more}")
    if kind.name is None:
        return
    seen = set()
    for fields in found:
        if fields[kind.name] in seen:
            raise Unreadable(f"two records of kind {name!r} for {quoted(fields[kind.name])}")
        seen.add(fields[kind.name])
