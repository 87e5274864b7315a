"""What a run says of the list of files that it holds its hosts to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.fleet.checkpoints import files_of
from tests.unit.readings import settings
from tests.unit.serving_hub import CONTENTS, REPOSITORY, Hub


@pytest.mark.parametrize("git", [True, False])
def test_a_run_says_once_where_the_list_is_only_the_hubs_word(
    https_hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    git: bool,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    https_hub.faults.git = git
    own = settings(
        model_repository=REPOSITORY,
        model_revision=https_hub.commit,
        hub_endpoint=https_hub.endpoint,
    )
    for _ in range(2):
        files = files_of(own)
        assert isinstance(files, tuple)
        assert len(files) == len(CONTENTS)
    assert caplog.text.count("is the hub's word: it speaks no git") == (0 if git else 1)
