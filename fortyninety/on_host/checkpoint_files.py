"""Parse what a checkpoint consists of: file names, sizes and digests, wherever a list comes from.

Whatever a hub, a mirror, a peer, a disk or a request says about a checkpoint's files goes through
here, on the controller and on the hosts. A list that passes names regular files below one folder
and nothing else: no name leaves that folder, hides, or means two things. Standard library alone,
Python 3.10 or later.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# What a file name and a path may have at most on Linux, in bytes; of the latter a part is left for
# the folder that a checkpoint is in (NAME_MAX and PATH_MAX, limits.h).
LONGEST_NAME, LONGEST_PATH = 255, 1024
DEEPEST = 16
# A 405B checkpoint in full precision has 0.8 TB in fewer than 400 files.
MOST_FILES = 10_000
MOST_BYTES = 4 * 10**12
# A whole list, in characters: ten thousand lines of a manifest with paths of 300.
LONGEST_TEXT = 4 * 10**6

# Names, compared without regard to case, that this project, the hub's client, rsync or git keep for
# themselves in a folder of a checkpoint.
_RESERVED_NAMES = frozenset({".cache", ".huggingface", ".git", ".~tmp~"})
_RESERVED_BEGINNINGS = (".fortyninety", ".partial-", ".incoming-", ".lock-", ".nfs")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"[0-9a-f]{40}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,14}")
_KEYS = frozenset({"path", "size", "sha256", "blob"})


class FileListError(ValueError):
    """Why a list of files cannot be used, in one printable line."""


@dataclass(frozen=True)
class File:
    """A file of a checkpoint, its size in bytes.

    `blob` is the name of its git object, for the small files that a hub gives no SHA-256 for.
    """

    path: str
    size: int
    sha256: str | None
    blob: str | None


def parse_path(value: object) -> str:
    """Return the path if it names something below a folder, with `/` between its parts.

    Raises FileListError.
    """
    if not isinstance(value, str):
        raise FileListError(f"a file is named {_shown(value)}; expected text")
    if not value:
        raise FileListError("a file has an empty name")
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise FileListError(f"{_shown(value)} is not valid UTF-8") from error
    if len(encoded) > LONGEST_PATH:
        raise FileListError(f"{_shown(value)} has more than {LONGEST_PATH} bytes")
    if not (value.isascii() and value.isprintable() and "\\" not in value):
        for character in value:
            if not _is_plain(character):
                raise FileListError(f"{_shown(value)} has the character U+{ord(character):04X}")
    if value.startswith("/"):
        raise FileListError(f"{_shown(value)} is an absolute path")
    parts = value.split("/")
    if len(parts) > DEEPEST:
        raise FileListError(f"{_shown(value)} is more than {DEEPEST} folders deep")
    for part in parts:
        _check_name(part, value)
    return value


def parse_files(listed: object) -> tuple[File, ...]:
    """Return the files of a decoded JSON list of objects: path, size, and sha256 or blob or both.

    Raises FileListError. The text of the JSON is the caller's to bound (LONGEST_TEXT).
    """
    if not isinstance(listed, list):
        raise FileListError(f"the list of files is {_shown(listed)}; expected a list")
    if len(listed) > MOST_FILES:
        raise FileListError(f"the list has {len(listed)} files; at most {MOST_FILES} are taken")
    files, length = [], 0
    for each in listed:
        files.append(_parse_file(each))
        length += len(files[-1].path)
        if length > LONGEST_TEXT:
            raise FileListError(f"the names have more than {LONGEST_TEXT} characters together")
    return _as_a_whole(files)


def parse_manifest(text: str) -> tuple[File, ...]:
    """Return the files of a manifest, which has "<sha256>  <bytes>  <path>" a line.

    Raises FileListError, also where the last line was cut off.
    """
    if len(text) > LONGEST_TEXT:
        raise FileListError(f"the manifest has more than {LONGEST_TEXT} characters")
    if not text.endswith("\n"):
        raise FileListError("the manifest is empty or its last line is cut off")
    lines = text[:-1].split("\n")
    if len(lines) > MOST_FILES:
        raise FileListError(f"the manifest has {len(lines)} files; at most {MOST_FILES} are taken")
    return _as_a_whole([_parse_line(line) for line in lines])


def manifest_text(files: Iterable[File]) -> str:
    """Return the manifest of files that all have a SHA-256: the same text in whatever order.

    Raises FileListError for files that the parser would not take.
    """
    lines = []
    for file in sorted(files, key=lambda each: each.path):
        if file.sha256 is None:
            raise FileListError(f"{_shown(file.path)} has no SHA-256")
        lines.append(f"{file.sha256}  {file.size}  {file.path}\n")
    text = "".join(lines)
    parse_manifest(text)
    return text


def _parse_file(listed: object) -> File:
    if not isinstance(listed, dict):
        raise FileListError(f"a file is {_shown(listed)}; expected an object")
    for key in listed:
        if key not in _KEYS:
            raise FileListError(f"a file has the key {_shown(key)}; expected path, size and sha256")
    path = parse_path(listed.get("path"))
    size = listed.get("size")
    if type(size) is not int:  # bool is an int too
        raise FileListError(f"the size of {_shown(path)} is {_shown(size)}; expected a number")
    sha256 = _parse_digest(path, "SHA-256", listed.get("sha256"), _SHA256)
    blob = _parse_digest(path, "git name", listed.get("blob"), _BLOB)
    if sha256 is None and blob is None:
        raise FileListError(f"{_shown(path)} has neither a SHA-256 nor a git name")
    return File(path, size, sha256, blob)


def _parse_line(line: str) -> File:
    sha256, _, rest = line.partition("  ")
    size, _, path = rest.partition("  ")
    if not _SHA256.fullmatch(sha256) or not _SIZE.fullmatch(size):
        raise FileListError(f'{_shown(line)} is not "<sha256>  <bytes>  <path>"')
    return File(parse_path(path), int(size), sha256, None)


def _parse_digest(path: str, kind: str, value: object, pattern: re.Pattern[str]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise FileListError(f"the {kind} of {_shown(path)} is {_shown(value)}")
    return value


def _as_a_whole(files: Sequence[File]) -> tuple[File, ...]:
    """Check what no file shows by itself: sizes, and names that meet in one place."""
    if not files:
        raise FileListError("the list has no files")
    for file in files:
        if not 0 <= file.size <= MOST_BYTES:
            raise FileListError(
                f"the size of {_shown(file.path)} is {_shown(file.size)}; "
                f"expected 0 to {MOST_BYTES} bytes"
            )
    if sum(file.size for file in files) > MOST_BYTES:
        raise FileListError(f"the files have more than {MOST_BYTES} bytes together")
    # As a disk compares names that has no regard for case or for how an accent is written: it may
    # be such a disk that carries a checkpoint from box to box.
    seen: dict[str, str] = {}
    for file in files:
        folded = _folded(file.path)
        if folded not in seen:
            seen[folded] = file.path
        elif seen[folded] == file.path:
            raise FileListError(f"the list has {_shown(file.path)} twice")
        else:
            raise FileListError(
                f"the list has {_shown(file.path)} and {_shown(seen[folded])}, "
                "which are one file on some disks"
            )
    for file in files:
        folder = _folded(file.path)
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if folder in seen:
                raise FileListError(
                    f"{_shown(seen[folder])} is a file, and a folder of {_shown(file.path)}"
                )
    return tuple(files)


def _check_name(name: str, path: str) -> None:
    """Raise FileListError where one part of a path is not a plain name."""
    if name in ("", ".", ".."):
        raise FileListError(f"{_shown(path)} has the part {_shown(name)}")
    if len(name.encode()) > LONGEST_NAME:
        raise FileListError(f"{_shown(path)} has a name of more than {LONGEST_NAME} bytes")
    if name[0] in " -~" or name[-1] == " ":
        raise FileListError(
            f'{_shown(path)} has a name that begins with " ", "-" or "~" or ends with " "'
        )
    folded = _folded(name)
    if folded in _RESERVED_NAMES or folded.startswith(_RESERVED_BEGINNINGS):
        raise FileListError(f"{_shown(path)} has the reserved name {_shown(name)}")


def _is_plain(character: str) -> bool:
    """Whether a character shows itself as it is: no control, no direction, no odd space."""
    if character.isascii():
        return character.isprintable() and character != "\\"
    # Control, format (bidirectional marks among them), surrogate, private; spaces and breaks. What
    # Unicode has not assigned is let through: that differs between versions of Python.
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"}


def _folded(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _shown(value: object) -> str:
    """A value of any kind in a few printable characters."""
    if isinstance(value, (list, dict, tuple)):
        return f"a {type(value).__name__}"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"  # Python refuses to print those of 4300
    shown = ascii(value[:120] if isinstance(value, str) else value)
    return shown if len(shown) <= 160 else f"{shown[:157]}..."
