"""What names a checkpoint's files may have, and that every other list is refused in one line."""

from __future__ import annotations

import os
import random
import time
from typing import Any

import pytest

from fortyninety.on_host.checkpoint_files import (
    LONGEST_TEXT,
    MOST_BYTES,
    MOST_FILES,
    File,
    FileListError,
    manifest_text,
    parse_files,
    parse_manifest,
    parse_path,
)

SHA256 = "a" * 64
BLOB = "b" * 40


def listed(path: Any = "config.json", size: Any = 10, sha256: Any = SHA256, **more: Any) -> Any:
    return {"path": path, "size": size, "sha256": sha256, **more}


HOSTILE_NAMES = {
    "absolute": "/etc/cron.d/job",
    "above": "../../etc/cron.d/job",
    "above in the middle": "sub/../../job",
    "above at the end": "sub/..",
    "the folder itself": ".",
    "a dot in the middle": "sub/./file",
    "an empty part": "sub//file",
    "a slash at the end": "sub/",
    "empty": "",
    "a backslash": "..\\..\\job",
    "a newline": "config.json\n/etc/passwd",
    "a carriage return": "config.json\r",
    "a tab": "leftover\t/home",
    "a zero byte": "config.json\0.txt",
    "an escape sequence": "\x1b[2Jconfig.json",
    "delete": "config\x7f.json",
    "a C1 control": "config\x9b31m.json",
    "next line": "config\x85.json",
    "right-to-left override": "config\u202enosj.json",
    "an isolate": "config\u2066.json",
    "a zero-width joiner": "config\u200d.json",
    "a byte-order mark": "\ufeffconfig.json",
    "a line separator": "config\u2028.json",
    "a space that does not break": "config\u00a0.json",
    "a surrogate": "config\udcff.json",
    "private use": "config\ue000.json",
    "our manifest": ".fortyninety-manifest",
    "our manifest in capitals": ".FortyNinety-Manifest",
    "ours below a folder": "sub/.fortyninety-mark",
    "the hub client's": ".cache/huggingface/download/x.incomplete",
    "the hub client's of old": ".huggingface/x",
    "a folder of ours": ".partial-" + "0" * 40,
    "what is on its way": ".incoming-" + "0" * 40 + "/verified",
    "our lock": ".lock-" + "0" * 40,
    "rsync's": ".~tmp~/x",
    "git's": ".git/hooks/post-checkout",
    "an option": "-rf",
    "an option below a folder": "sub/--delete",
    "a home": "~root/.ssh/authorized_keys",
    "a space in front": " config.json",
    "a space at the end": "config.json ",
    "a long name": "x" * 256,
    "a long name in bytes": "\u00e9" * 128,
    "a long path": "/".join(["x" * 200] * 6),
    "deep": "/".join(["x"] * 17),
}


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_a_hostile_name_is_refused_in_one_printable_line(name: str) -> None:
    for parse in (
        lambda: parse_path(name),
        lambda: parse_files([listed("a"), listed(name)]),
        lambda: parse_manifest(f"{SHA256}  10  a\n{SHA256}  10  {name}\n"),
        lambda: manifest_text([File(name, 1, SHA256, None)]),
    ):
        with pytest.raises(FileListError) as refused:
            parse()
        assert str(refused.value).isascii()
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 300


HOSTILE_LISTS: dict[str, Any] = {
    "no list": {"path": "a"},
    "text": "config.json",
    "nothing": None,
    "empty": [],
    "a list of text": ["config.json"],
    "a list of lists": [["config.json", 10, SHA256]],
    "no path": [{"size": 10, "sha256": SHA256}],
    "a path that is a number": [listed(7)],
    "a path that is a list": [listed(["a"])],
    "an unknown key": [listed(mode=0o4755)],
    "a key that is a number": [{**listed(), 7: 7}],
    "no size": [{"path": "a", "sha256": SHA256}],
    "a size that is true": [listed(size=True)],
    "a size that is text": [listed(size="10")],
    "a size that is a fraction": [listed(size=1.5)],
    "a size that is no number": [listed(size=float("nan"))],
    "a negative size": [listed(size=-1)],
    "a huge size": [listed(size=MOST_BYTES + 1)],
    "a size too long to print": [listed(size=10**5000)],
    "a size too long to print, negative": [listed(size=-(10**5000))],
    "huge together": [listed(str(number), MOST_BYTES // 2) for number in range(3)],
    "no digest": [{"path": "a", "size": 10}],
    "no digest, said twice": [listed(sha256=None, blob=None)],
    "a short digest": [listed(sha256="a" * 63)],
    "a long digest": [listed(sha256="a" * 65)],
    "a digest in capitals": [listed(sha256="A" * 64)],
    "a digest with a newline": [listed(sha256="a" * 64 + "\n")],
    "a digest of other digits": [listed(sha256="\u0661" * 64)],
    "a digest that is a number": [listed(sha256=10**63)],
    "a digest that is a list": [listed(sha256=["a" * 64])],
    "a path as digest": [listed(sha256="../" + "a" * 61)],
    "a short git name": [listed(sha256=None, blob="b" * 39)],
    "a git name that is a pattern": [listed(blob="*")],
    "twice": [listed("a"), listed("b"), listed("a")],
    "twice but for case": [listed("README.md"), listed("readme.md")],
    "twice but for how an accent is written": [listed("\u00e9"), listed("e\u0301")],
    "a file that is a folder": [listed("a"), listed("a/b")],
    "a folder that is a file": [listed("a/b/c"), listed("a")],
    "a folder that is a file but for case": [listed("A/b"), listed("a")],
    "too many": [listed(str(number)) for number in range(MOST_FILES + 1)],
    "names too long together": [
        listed("/".join([f"{number:0200}"] * 5)) for number in range(MOST_FILES)
    ],
}


@pytest.mark.parametrize("files", HOSTILE_LISTS.values(), ids=HOSTILE_LISTS)
def test_a_hostile_list_is_refused_in_one_printable_line_at_once(files: Any) -> None:
    began = time.process_time()
    with pytest.raises(FileListError) as refused:
        parse_files(files)
    assert time.process_time() - began < 1
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


HOSTILE_MANIFESTS = {
    "empty": "",
    "an empty line": f"{SHA256}  1  a\n\n{SHA256}  1  b\n",
    "cut in the last line": f"{SHA256}  1  a\n{SHA256}  1  con",
    "cut after the last line's text": f"{SHA256}  1  a",
    "one space": f"{SHA256} 1 a\n",
    "what sha256sum writes": f"{SHA256}  a\n",
    "a digest in capitals": f"{SHA256.upper()}  1  a\n",
    "a negative size": f"{SHA256}  -1  a\n",
    "a size with a sign": f"{SHA256}  +1  a\n",
    "a size with underscores": f"{SHA256}  1_0  a\n",
    "a size with zeros in front": f"{SHA256}  01  a\n",
    "a size of other digits": f"{SHA256}  \u0661  a\n",
    "a size too long for Python": f"{SHA256}  {'9' * 5000}  a\n",
    "Windows' line ends": f"{SHA256}  1  a\r\n",
    "a page feed as line end": f"{SHA256}  1  a\x0c{SHA256}  1  b\n",
    "HTML": "<!DOCTYPE html>\n<title>404</title>\n",
    "endless": "x" * (LONGEST_TEXT + 1),
    "too many lines": "\n" * (MOST_FILES + 1),
    "a file twice": f"{SHA256}  1  a\n{SHA256}  1  a\n",
}


@pytest.mark.parametrize("text", HOSTILE_MANIFESTS.values(), ids=HOSTILE_MANIFESTS)
def test_a_hostile_manifest_is_refused_in_one_printable_line(text: str) -> None:
    with pytest.raises(FileListError) as refused:
        parse_manifest(text)
    assert str(refused.value).isprintable()


def test_names_that_checkpoints_have_are_taken() -> None:
    for name in (
        ".gitattributes",
        ".gitignore",
        "model-00001-of-00009.safetensors",
        "original/consolidated.00.pth",
        "a name with spaces.md",
        "..data",
        "R\u00e9sum\u00e9 \u6a21\u578b [1]*?.txt",
    ):
        assert parse_path(name) == name


def test_a_list_says_what_each_file_is() -> None:
    files = parse_files([listed("b/c", 0), listed("a", 5, None, blob=BLOB)])
    assert files == (File("b/c", 0, SHA256, None), File("a", 5, None, BLOB))


def test_a_manifest_is_the_same_text_in_whatever_order_and_says_the_same_back() -> None:
    files = [File(name, size, SHA256, None) for size, name in enumerate(("a b", "a/c", "Z", "é"))]
    text = manifest_text(files)
    shuffled = list(files)
    random.Random(4).shuffle(shuffled)
    assert manifest_text(shuffled) == text
    assert set(parse_manifest(text)) == set(files)


def test_a_manifest_is_not_made_of_files_without_a_digest() -> None:
    with pytest.raises(FileListError, match="'a' has no SHA-256"):
        manifest_text([File("a", 1, None, BLOB)])


def test_generated_lists_are_refused_or_name_only_what_is_below_a_folder() -> None:
    """Whatever passes stays below the folder that it is put in, as the kernel reads it."""
    random_bits = random.Random(15)
    parts = ["a", "B", "..", ".", "", "é", "e\u0301", ".cache", "\u202e", "\0", "x" * 255, "-r"]
    taken = 0
    for _ in range(20_000):
        name = "/".join(random_bits.choices(parts, k=random_bits.randrange(1, 4)))
        try:
            path = parse_path(name)
        except FileListError:
            continue
        taken += 1
        assert os.path.normpath(f"/model/{path}") == f"/model/{name}"
        assert not {"..", ".", "", ".cache"} & set(path.split("/"))
    assert taken > 100


def test_ten_thousand_files_are_read_in_a_second() -> None:
    files = [listed(f"folder-{number % 100}/{number:0150}") for number in range(MOST_FILES)]
    began = time.process_time()
    assert len(parse_files(files)) == MOST_FILES
    assert time.process_time() - began < 1
