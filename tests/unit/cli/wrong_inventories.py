"""Inventories that cannot be used, each with what is said of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

BROKEN = "x = 1\nboxes = [(\n"
ONE = "boxes = [('one', {'ssh_hostname': '127.0.0.1', 'ssh_port': 1, 'gpu_count': 2})]\n"


def _text(text: str | bytes) -> Callable[[Path], None]:
    content = text.encode() if isinstance(text, str) else text
    return lambda path: (path.write_bytes(content), None)[1]


def _with_group_data(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(ONE)
        (path.parent / "group_data").mkdir()
        (path.parent / "group_data" / "all.py").write_text(text)

    return write


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


# Each is written to PATH, alone in its folder; with words of the line that is said of it.
KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "that is not there": (lambda path: None, "there is no inventory file"),
    "that is a folder": (lambda path: path.mkdir(), "is a folder"),
    "that is a pipe": (os.mkfifo, "is no regular file"),
    "that is a link to nothing": (_link_to_nothing, "there is no inventory file"),
    "with a syntax error": (_text(BROKEN), "boxes.py, line 2: '(' was never closed"),
    "that raises": (_text("\nraise ValueError('no \x1b[2J')\n"), "boxes.py, line 2: ValueError"),
    "that ends the program": (_text("raise SystemExit(0)\n"), "boxes.py, line 1"),
    "that imports what is not there": (_text("import no_such\n"), "boxes.py, line 1"),
    "that calls itself": (_text("def f(): f()\nf()\n"), "boxes.py, line 1"),
    "that is empty": (_text(""), "has no host"),
    "without a host": (_text("boxes = []\n"), "has no host"),
    "whose hosts are a number": (_text("boxes = 7\n"), "has no host"),
    "whose host is a number": (_text("boxes = [7]\n"), "boxes.py"),
    "whose data is a number": (_text("boxes = [('one', 7)]\n"), "boxes.py"),
    "that is binary": (_text(b"\x7fELF\x02\x00\xff\xfe"), "boxes.py"),
    "that is no UTF-8": (_text(b"# \xff\n" + ONE.encode()), "boxes.py"),
    "with unreadable settings": (_with_group_data(BROKEN), "all.py, line 2: '(' was never closed"),
    "whose settings raise": (_with_group_data("1 / 0\n"), "all.py, line 1: ZeroDivisionError"),
    "with a wrong setting": (_text(ONE.replace("gpu_count", "gpu_cuont")), "gpu_cuont"),
    "with a name that a terminal obeys": (_text(ONE.replace("one", "o\\x1b[2J\\ne")), "x1b"),
    "with a name that is too long": (_text(f"boxes = ['{'x' * 1000}']\n"), "xxxx"),
    "with a value without end": (_text(ONE.replace("2}", f"'{'9' * 100_000}'}}")), "gpu_count"),
    "whose port is a word": (_text(ONE.replace(": 1,", ": 'ssh',")), "ssh_port is 'ssh'"),
    "whose port is too large": (_text(ONE.replace(": 1,", ": 70000,")), "70000"),
    "whose address is a number": (_text(ONE.replace("'127.0.0.1'", "7")), "ssh_hostname is 7"),
    "whose key is a folder": (_text(ONE.replace(": 1,", ": 1, 'ssh_key': '/',")), "one"),
    "whose user is a list": (
        _text(ONE.replace(": 1,", ": 1, 'ssh_user': ['root'],")),
        "ssh_user is ['root']",
    ),
    "with a value of another type": (_text(ONE.replace(": 2", ": [2]")), "gpu_count"),
}
# Those whose host cannot be reached, by how it is called or reached.
OUT_OF_REACH = (
    *("whose port is too large", "whose key is a folder"),
    *("with a name that a terminal obeys", "with a name that is too long"),
)
# Those whose hosts are told one by one.
OF_A_HOST = (
    *("with a wrong setting", "with a value of another type", "with a value without end"),
    *OUT_OF_REACH,
)


def write(folder: Path) -> dict[str, Path]:
    """The inventories, by their kinds."""
    paths = {}
    for number, (kind, (make, _)) in enumerate(KINDS.items()):
        path = folder / str(number) / "boxes.py"
        path.parent.mkdir()
        make(path)
        paths[kind] = path
    return paths


def out_of_reach(folder: Path) -> Path:
    """An inventory of a host whose port is closed, which prints as it is read."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = folder / "closed.py"
    path.write_text(f"print('read')\n{ONE.replace(': 1,', f': {port},')}")
    return path
