"""What systemd makes of a unit file: an own reading of its manual, to hold the templates against.

Source: systemd.syntax(7) for lines, comments and continuations; systemd.service(5), "COMMAND
LINES"; systemd.exec(5), "Environment="; systemd.unit(5), "SPECIFIERS". What these leave open was
looked up in systemd 252: config_parse() of src/shared/conf-parser.c, extract_first_word() of
src/basic/extract-word.c, config_parse_exec() of src/core/load-fragment.c, unichar_is_valid() of
src/basic/utf8.c. Held against systemd 252 and 257 once: each gave a program in a container the same
544 words, odd ones and random ones, as its arguments and as variables.
"""

from __future__ import annotations

import re

BLANKS = " \t\n\r"
ESCAPES = {
    **{"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"},
    **{"\\": "\\", '"': '"', "'": "'", "s": " "},
}


class UnitError(ValueError):
    """What systemd warns of and passes over."""


def assignments(text: str) -> list[tuple[str, str]]:
    """The assignments of a unit file, in its order, before any value is read."""
    found = []
    pending = ""
    for line in re.split(r"\r\n|[\n\r\0]", text):
        if any(_is_invalid(character) for character in line):
            raise UnitError(f"not valid UTF-8: {line!r}")
        stripped = line.strip(BLANKS)
        if stripped[:1] in ("#", ";") and stripped:
            continue
        joined = pending + line
        # An even number of backslashes at the end is no continuation.
        if (len(joined) - len(joined.rstrip("\\"))) % 2:
            pending = f"{joined[:-1]} "
            continue
        pending = ""
        joined = joined.strip(BLANKS)
        if not joined or joined.startswith("["):
            continue
        key, separator, value = joined.partition("=")
        if not separator:
            raise UnitError(f"no assignment: {joined!r}")
        found.append((key.strip(BLANKS), value.strip(BLANKS)))
    if pending:
        raise UnitError("the file ends within a line")
    return found


def values(text: str, key: str) -> list[str]:
    """Every value of a key."""
    return [value for name, value in assignments(text) if name == key]


def commands(value: str) -> list[list[str]]:
    """The commands of an ExecStart= line, as the programs get them."""
    found: list[list[str]] = [[]]
    rest = value.lstrip(BLANKS)
    while rest:
        if re.match(r";(\s|$)", rest):
            found.append([])
            rest = rest[1:].lstrip(BLANKS)
            continue
        if re.match(r"\\;(\s|$)", rest):
            found[-1].append(";")
            rest = rest[2:].lstrip(BLANKS)
            continue
        word, rest = _first_word(rest)
        if not found[-1]:
            if word[:1] != "/":
                raise UnitError(f"no path, but an order to systemd: {word!r}")
            found[-1].append(_specifiers(word))
        else:
            found[-1] += _variables(_specifiers(word))
    return found


def environment(text: str) -> dict[str, str]:
    """What the Environment= lines of a unit set."""
    variables = {}
    for value in values(text, "Environment"):
        rest = value
        while rest:
            word, rest = _first_word(rest)
            name, separator, given = _specifiers(word).partition("=")
            if not separator or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise UnitError(f"no assignment: {word!r}")
            variables[name] = given
    return variables


def description(text: str) -> str:
    """What `systemctl status` calls the unit."""
    (value,) = values(text, "Description")
    return _specifiers(value)


def _is_invalid(character: str) -> bool:
    code = ord(character)
    return 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


def _first_word(text: str) -> tuple[str, str]:
    word, quote, index = "", "", 0
    while index < len(text):
        character = text[index]
        index += 1
        if character == "\\":
            escaped, used = _escape(text[index:])
            word += escaped
            index += used
        elif quote:
            if character == quote:
                quote = ""
            else:
                word += character
        elif character in "'\"":
            quote = character
        elif character in BLANKS:
            return word, text[index:].lstrip(BLANKS)
        else:
            word += character
    if quote:
        raise UnitError(f"a quote without its end: {text!r}")
    return word, ""


def _escape(text: str) -> tuple[str, int]:
    if text[:1] in ESCAPES and text:
        return ESCAPES[text[0]], 1
    for pattern, base in (
        (r"x([0-9A-Fa-f]{2})", 16),
        (r"u([0-9A-Fa-f]{4})", 16),
        (r"U([0-9A-Fa-f]{8})", 16),
        (r"([0-7]{3})", 8),
    ):
        if match := re.match(pattern, text):
            return chr(int(match[1], base)), match.end()
    raise UnitError(f"no such escape: \\{text[:1]}")


def _specifiers(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[0] != "%%":
            raise UnitError(f"a specifier: {match[0]!r}")
        return "%"

    return re.sub(r"%.?", one, text)


def _variables(word: str) -> list[str]:
    if re.match(r"\$[^{$]", word):
        raise UnitError(f"a variable: {word!r}")
    if re.search(r"(?<!\$)(\$\$)*\$\{", word):
        raise UnitError(f"a variable: {word!r}")
    return [word.replace("$$", "$")]
