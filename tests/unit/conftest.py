"""Fixtures that several unit tests share."""

import signal
import tempfile
from collections.abc import Iterator

import pytest

from tests.unit.held_port import closed
from tests.unit.serving_folder import serve_folder
from tests.unit.serving_hub import https_hub, hub, root, serve_hub
from tests.unit.serving_tls import certificate, strangers, trusted
from tests.unit.snapshot_members import members

__all__ = [
    "certificate",
    "closed",
    "https_hub",
    "hub",
    "members",
    "root",
    "serve_folder",
    "serve_hub",
    "strangers",
    "trusted",
]


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_as_on_a_terminal() -> None:
    """Let what tests start obey Ctrl-C, also where a shell started this with `&`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _temporary_files_beside_the_tests_own(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Leave nothing in the machine's temporary folder, such as the traceback of a made defect."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
