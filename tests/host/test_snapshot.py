"""The checkpoint on disk, against what the hub says of its commit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import requests
from testinfra.host import Host

from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from tests.host.live_process import LiveProcess
from tests.host.on_host import read
from tests.host.read_before import ReadBefore

PUBLIC_HUB = "https://huggingface.co"
MANIFEST = ".fortyninety-manifest"


@dataclass(frozen=True)
class Expected:
    """What every file of the commit is like, and who says so."""

    source: str
    sizes: dict[str, int]
    sha256: dict[str, str]
    git: dict[str, str]


@cache
def _hub_says(settings_key: tuple[str, str, str]) -> tuple[list[dict[str, Any]] | None, str]:
    """The files of a commit, from the hub's own metadata; or None, and why it does not answer."""
    hub, repository, revision = settings_key
    address = f"{hub}/api/models/{repository}/revision/{revision}"
    try:
        answer = requests.get(address, params={"blobs": "true"}, timeout=10)
        answer.raise_for_status()
        return answer.json()["siblings"], hub
    except (requests.RequestException, KeyError, ValueError) as error:
        return None, str(error)


def _folder(settings: Settings, root: str | None = None) -> str:
    name = settings.model_repository.partition("/")[2]
    return f"{root or settings.models_directory}/{name}/{settings.model_revision}"


@pytest.fixture(scope="session")
def expected(host: Host, settings: Settings) -> Expected:
    """From the hub; where it does not answer, from the manifest that was verified and published."""
    hub = settings.hub_endpoint or PUBLIC_HUB
    files, said = _hub_says((hub, settings.model_repository, settings.model_revision))
    if files is not None:
        return Expected(
            f"the hub {hub}",
            {each["rfilename"]: each["size"] for each in files},
            {each["rfilename"]: each["lfs"]["sha256"] for each in files if each.get("lfs")},
            {each["rfilename"]: each["blobId"] for each in files if not each.get("lfs")},
        )
    manifest = host.file(f"{_folder(settings)}/{MANIFEST}")
    assert manifest.exists, (
        f"the hub cannot be asked what is right ({said}), and {manifest.path} is missing; expected "
        "either. Deploy again"
    )
    entries = [line.split(maxsplit=2) for line in manifest.content_string.splitlines()]
    return Expected(
        f"the manifest that was published with it (the hub does not answer: {said})",
        {path: int(size) for _, size, path in entries},
        {path: digest for digest, _, path in entries},
        {},
    )


def _hashed(before: ReadBefore, folder: str, expected: Expected) -> list[str]:
    """What is wrong with a folder, a line each, from the bytes of its files."""
    found = before.folder(folder, "digests", lambda found: not _wrong(found, expected, hashed=True))
    return _wrong(found, expected, hashed=True)


def _wrong(found: dict[str, Any], expected: Expected, *, hashed: bool) -> list[str]:
    """What is wrong with the files that were found, a line each."""
    files = {path: each for path, each in found["files"].items() if path != MANIFEST}
    wrong = [f"{path} is missing" for path in expected.sizes if path not in files]
    wrong += [
        f"{path} is there, and not in the commit" for path in files if path not in expected.sizes
    ]
    for path, entry in files.items():
        if path not in expected.sizes:
            continue
        if entry["size"] is None:
            wrong.append(f"{path} is a link that leads nowhere")
        elif entry["size"] != expected.sizes[path]:
            wrong.append(f"{path} has {entry['size']} bytes, expected {expected.sizes[path]}")
        elif hashed and path in expected.sha256 and entry["sha256"] != expected.sha256[path]:
            wrong.append(f"{path} has SHA-256 {entry['sha256']}, expected {expected.sha256[path]}")
        elif hashed and path in expected.git and entry["git"] != expected.git[path]:
            wrong.append(f"{path} has git's digest {entry['git']}, expected {expected.git[path]}")
    return wrong


def test_the_engine_serves_the_pinned_commit(
    process: LiveProcess, settings: Settings, release: Release
) -> None:
    """An engine on another commit answers with another model under the same name."""
    path = process.argument(release.model_argument)
    assert path == _folder(settings), (
        f"the process serves {path}; expected {_folder(settings)}. Deploy again"
    )


def test_the_link_to_the_live_snapshot_names_what_is_served(host: Host, settings: Settings) -> None:
    """Whoever looks there must find the commit that is served."""
    link = f"{_folder(settings).rpartition('/')[0]}/current"
    target = host.run(f"readlink {link}").stdout.strip()
    assert target == _folder(settings), (
        f"{link} points to {target or 'nothing'}; expected {_folder(settings)}. Deploy again"
    )


def test_the_snapshot_has_every_file_and_no_other(
    host: Host, settings: Settings, expected: Expected
) -> None:
    """An engine that starts again fails on a missing shard, and loads one that nobody verified."""
    found = read(host, "digests", _folder(settings), "--sizes")
    wrong = _wrong(found, expected, hashed=False)
    assert not wrong, (
        f"{_folder(settings)}: {'; '.join(wrong)}. This is what {expected.source} says. Deploy "
        "again; what is nobody's remove by hand"
    )


@pytest.mark.slow
def test_every_file_has_the_hash_that_the_hub_publishes(
    before: ReadBefore, settings: Settings, expected: Expected
) -> None:
    """A flipped byte in 40 GB of weights does not crash: it answers nonsense."""
    wrong = _hashed(before, _folder(settings), expected)
    assert not wrong, (
        f"{_folder(settings)}: {'; '.join(wrong)}. This is what {expected.source} says. Run "
        "`fortyninety snapshot verify`, then deploy again"
    )


@pytest.mark.slow
def test_the_second_copy_is_like_the_first(
    before: ReadBefore, settings: Settings, expected: Expected
) -> None:
    """A copy that nobody looks at is damaged on the day that it is needed."""
    if settings.second_copy_directory is None:
        return
    folder = _folder(settings, settings.second_copy_directory)
    wrong = _hashed(before, folder, expected)
    assert not wrong, f"{folder}: {'; '.join(wrong)}. Deploy again"


def test_the_manifest_is_there(host: Host, settings: Settings) -> None:
    """Without it the snapshot counts as never published, and 40 GB are hashed or fetched again."""
    manifest = f"{_folder(settings)}/{MANIFEST}"
    assert host.file(manifest).exists, f"there is no {manifest}; expected one. Deploy again"


def test_nobody_but_root_can_change_the_snapshot(host: Host, settings: Settings) -> None:
    """Weights that the service itself can write are another model after the first break-in."""
    found = host.check_output(
        f"find -P {settings.models_directory} \\( ! -user root -o -perm -o+w -o -perm -g+w \\) "
        "! -type l -printf '%M %u:%g %p\\n' | head -n 10"
    )
    assert not found, (
        f"others than root can write below {settings.models_directory}:\n{found}\nexpected root "
        "alone. `chown root:root` and `chmod go-w` them"
    )


def test_every_file_of_the_snapshot_lies_in_it(host: Host, settings: Settings) -> None:
    """A shard that is a link is whatever somebody else puts there."""
    folder = _folder(settings)
    found = host.check_output(
        f"find -P {folder} -type l -printf '%p is a link to %l\\n' | head -n 10"
    )
    assert not found, (
        f"{found}; expected files of the snapshot's own. Remove them, and deploy again"
    )


def test_the_service_can_read_the_snapshot(host: Host, settings: Settings) -> None:
    """A running engine has its weights in memory; the next start needs the files."""
    found = host.run(
        f"cd / && setpriv --reuid={settings.service_user} --regid={settings.service_user} "
        f"--clear-groups find {_folder(settings)} ! -readable -print"
    )
    said = (found.stdout + found.stderr).strip()
    assert found.rc == 0 and not said, (
        f"{settings.service_user} cannot read {said or _folder(settings)}; expected all of it. "
        f"`chmod -R go+rX {_folder(settings)}`, or deploy again"
    )


def test_nothing_of_the_handing_on_is_left(host: Host, settings: Settings) -> None:
    """A port that stays open lets the network read the weights."""
    units = host.run("systemctl list-units --no-legend --plain 'fortyninety-snapshot-peer*'").stdout
    assert units == "", (
        f"{units.strip()} is still there; expected it to end with the deploy. Run systemctl stop "
        "on it"
    )
    listening = host.run(f"ss -Hltn 'sport = :{settings.peer_port}'").stdout
    assert listening == "", (
        f"port {settings.peer_port} is open: {listening.strip()}; expected it closed. Look with "
        f"`ss -ltnp 'sport = :{settings.peer_port}'` whose it is"
    )


def test_nothing_half_fetched_is_left(host: Host, settings: Settings) -> None:
    """What a cut deploy left of 40 GB takes the room of the next commit."""
    found = host.check_output(
        f"find {settings.models_directory} -mindepth 2 -maxdepth 2 "
        r"\( -name '.partial-*' -o -name '.incoming-*' \) -print"
    )
    assert not found, f"{found} is of a fetch that never ended; expected none. Deploy again"
