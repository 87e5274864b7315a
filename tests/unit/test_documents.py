"""Whether the files that the documents send a reader to are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
FOLDERS = "bench|bin|checkpoints|docs|engines|fortyninety|group_data|inventory|lab|tasks|templates"
PATH = re.compile(rf"\b(?:{FOLDERS}|tests)/[\w./-]+\.(?:c|in|j2|json|md|nft|py|sh|toml|txt|yaml)\b")


def paths_of(text: str) -> set[str]:
    return set(PATH.findall(text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_of_the_repository_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    if document.name == "CHANGELOG.md":
        # What was released is told as it was then.
        text = text.partition("\n## 0.1.0")[0]
    missing = sorted(path for path in paths_of(text) if not (ROOT / path).exists())
    assert missing == []


def test_a_file_is_recognised_in_a_sentence_and_in_a_command() -> None:
    text = (
        "`fortyninety/fit/none.py` has it; pyinfra inventory/prod.py deploy.py, engines/<release>/x"
    )
    assert paths_of(text) == {"fortyninety/fit/none.py", "inventory/prod.py"}
