"""Whether the files and headings that the documents send a reader to are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
FOLDERS = "bench|bin|checkpoints|docs|engines|fortyninety|group_data|inventory|lab|tasks|templates"
PATH = re.compile(rf"\b(?:{FOLDERS}|tests)/[\w./-]+\.(?:c|in|j2|json|md|nft|py|sh|toml|txt|yaml)\b")

# What the reader has: `fortyninety init` writes it.
READERS_OWN = {"inventory/fleet.py"}
# What a machine printed names files of that machine.
RECORDED = re.compile(r"<!-- recorded: begin -->.*?<!-- recorded: end -->", re.DOTALL)

LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


def anchors_of(page: Path) -> set[str]:
    """Return the names under which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths_of(text: str) -> set[str]:
    return set(PATH.findall(RECORDED.sub("", text))) - READERS_OWN


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_of_the_repository_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    if document.name == "CHANGELOG.md":
        # What was released is told as it was then.
        text = text.partition("\n## 0.1.0")[0]
    missing = sorted(path for path in paths_of(text) if not (ROOT / path).exists())
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_to_a_page_and_its_heading(document: Path) -> None:
    astray = []
    for name, anchor in LINK.findall(document.read_text()):
        page = document.parent / name if name else document
        if not page.exists() or (anchor and anchor not in anchors_of(page)):
            astray.append(f"{name}#{anchor}" if anchor else name)
    assert astray == []


def test_a_file_is_recognised_in_a_sentence_and_in_a_command() -> None:
    text = (
        "`fortyninety/fit/none.py` has it; pyinfra inventory/prod.py deploy.py, engines/<release>/x"
    )
    assert paths_of(text) == {"fortyninety/fit/none.py", "inventory/prod.py"}
