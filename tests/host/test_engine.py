"""The engine's environment: what was locked, as its packages brought it, and live."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from testinfra.host import Host

from fortyninety.checkout import PACKAGE
from fortyninety.plan.programs import TENANTS, archive, importable
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from tests.host.bounded_ssh import HASHING_SECONDS
from tests.host.live_process import LiveProcess
from tests.host.on_host import read
from tests.host.read_before import ReadBefore


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="session")
def installed(host: Host, process: LiveProcess) -> dict[str, str]:
    """The version of every package of the environment that runs."""
    found = read(host, "environment_files", process.directory, "--versions")
    return {_plain(name): version for name, version in found["versions"].items()}


def test_the_engine_is_at_its_pinned_version(
    installed: dict[str, str], process: LiveProcess, release: Release
) -> None:
    """Flags, metrics and memory needs change between releases: another is not what was planned."""
    version = installed.get(_plain(release.distribution))
    assert version == release.version, (
        f"{release.distribution} in {process.directory} is at {version}; expected "
        f"{release.version}. Deploy again"
    )


def test_every_package_is_at_its_locked_version(
    installed: dict[str, str], process: LiveProcess, release: Release
) -> None:
    """A package that was installed or upgraded by hand is one that nobody tried the engine with."""
    lines = release.lock_path.read_text().splitlines()
    pairs = (re.match(r"([A-Za-z0-9._-]+)={2,3}([^\s;\\]+)", line) for line in lines)
    locked = {_plain(pair[1]): pair[2] for pair in pairs if pair}
    wrong = [
        f"{name} is at {installed.get(name, 'none')}, locked at {locked.get(name, 'none')}"
        for name in sorted({*locked, *installed})
        if installed.get(name) != locked.get(name)
    ]
    assert not wrong, (
        f"{'; '.join(wrong[:10])} in {process.directory}; expected exactly the lock of "
        f"{release.release}. Remove the folder and deploy again"
    )


@pytest.mark.slow
def test_the_environments_files_are_those_of_its_packages(
    before: ReadBefore, process: LiveProcess
) -> None:
    """A line changed by hand in site-packages is in nobody's lock, and gone at the next deploy."""
    found: dict[str, Any] = before.folder(
        process.directory, "environment_files", right=lambda found: not found["wrong"]
    )
    more = f"\nand {found['more']} more" if found["more"] else ""
    listed = "\n".join(found["wrong"])
    assert not found["wrong"], (
        f"of {found['files']} files, not as their packages brought them:\n{listed}{more}\n"
        f"expected none. Remove {process.directory} and deploy again"
    )


def test_the_tools_files_are_those_of_their_packages(host: Host, settings: Settings) -> None:
    """Root runs uv and fetches with them at every deploy, so a changed one is a way in."""
    tools = f"{settings.install_directory}/tools"
    folders = host.check_output(f"find {tools} -mindepth 1 -maxdepth 1 -type d").split()
    for folder in folders:
        found: dict[str, Any] = read(host, "environment_files", folder, seconds=HASHING_SECONDS)
        assert not found["wrong"], (
            f"not as their packages brought them: {'; '.join(found['wrong'])}; expected none. "
            f"Remove {folder} and deploy again"
        )


def test_every_unit_kept_for_a_rollback_is_as_it_served(host: Host, settings: Settings) -> None:
    """A rollback puts one of them in place as it is, and root reads its lines."""
    for path in host.check_output(f"find {settings.install_directory}/served -type f").split():
        text = host.file(path).content_string
        name = path.rpartition("/")[2].removesuffix(".service")
        # Its name is the digest of the unit without it.
        digest = hashlib.sha256(text.replace(name, "").encode()).hexdigest()[:16]
        assert name and digest == name, (
            f"{path} is not the unit that served under that name; expected it untouched. Remove it"
        )


# What may not lie below the deploy's own folders, in one walk of 60,000 files: each as a kind, the
# folder that it lies below and a line that says what it is; ten of a kind.
WALK = (
    "find -P {folders} "
    # uv's own lock is for everybody to hold, and nobody reads what is in it.
    r"\( ! -type l ! -name .lock \( ! -user root -o ! -group root -o -perm /022 \) "
    r"-printf 'open %H\t%M %u:%g %p\n' \) , "
    r"\( -type f -perm /6000 -printf 'lends\t%M %u:%g %p\n' \) , "
    r"\( -type l -xtype l -printf 'dangles\t%p -> %l\n' \) "
    r"| awk -F '\t' '++lines[$1] <= 10'"
)


@pytest.fixture(scope="session")
def lying_about(host: Host, settings: Settings) -> dict[str, str]:
    """What was found by that walk: lines by their kind."""
    folders = f"{settings.install_directory} {settings.models_directory}"
    found: dict[str, str] = {}
    for line in host.check_output(WALK.format(folders=folders)).splitlines():
        kind, _, said = line.partition("\t")
        found[kind] = f"{found[kind]}\n{said}" if kind in found else said
    return found


def test_nobody_but_root_can_change_what_runs(
    settings: Settings, lying_about: dict[str, str]
) -> None:
    """Who can write there runs code as the service, or as root at the next deploy."""
    found = lying_about.get(f"open {settings.install_directory}")
    assert not found, (
        f"others than root can write below {settings.install_directory}:\n{found}\nexpected root "
        "alone. `chown root:root` and `chmod go-w` them"
    )


def test_no_program_below_lends_its_owners_rights(
    settings: Settings, lying_about: dict[str, str]
) -> None:
    """A program that runs as root for whoever starts it makes everybody root, the engine too."""
    found = lying_about.get("lends")
    assert not found, (
        f"programs that run with their owner's or group's rights:\n{found}\nexpected none below "
        f"{settings.install_directory} and {settings.models_directory}. Remove them, and find out "
        "who put them there"
    )


def test_the_way_there_is_roots_alone(host: Host, settings: Settings, process: LiveProcess) -> None:
    """Who can rename a folder on the way puts his own in its place."""
    model = process.argument("--model") or settings.models_directory
    for path in (process.directory, model):
        shown = host.check_output(f"namei --long --owners {path} || true").splitlines()
        wrong = [
            line
            for line in shown
            if line.lstrip()[:1] == "d" and (line.split()[1] != "root" or line.split()[0][8] == "w")
        ]
        assert not wrong, (
            f"on the way to {path}: {'; '.join(each.strip() for each in wrong)}; expected folders "
            "of root that nobody else may write to. `chown root` and `chmod o-w` them"
        )


def test_the_link_to_the_live_engine_names_what_runs(
    host: Host, settings: Settings, process: LiveProcess
) -> None:
    """Whoever looks there, a person or a rollback, must find the environment that serves."""
    link = f"{settings.install_directory}/engines/current"
    target = host.run(f"readlink {link}").stdout.strip()
    assert target == process.directory, (
        f"{link} points to {target or 'nothing'}; the process runs from {process.directory}. "
        "Deploy again"
    )


def test_no_link_leads_nowhere(lying_about: dict[str, str]) -> None:
    """A link to what was removed is found by whoever follows it at the worst moment."""
    found = lying_about.get("dangles")
    assert not found, f"links lead nowhere: {found}; expected none. Deploy again, or remove them"


def test_the_environment_is_marked_as_whole(host: Host, process: LiveProcess) -> None:
    """One without its mark is removed by the next deploy that builds another, while it serves."""
    mark = f"{process.directory}/.fortyninety-complete"
    assert host.file(mark).exists, (
        f"there is no {mark}; expected the mark of an environment that was tried. Deploy again"
    )


def test_nothing_that_was_removed_is_still_running(
    process: LiveProcess, settings: Settings
) -> None:
    """An engine that outlived its own files cannot start again as it is."""
    folders = (settings.install_directory, settings.models_directory)
    for each in process.processes:
        files = [each["executable"], *each["mapped"]]
        gone = [
            file
            for file in files
            if file.endswith(" (deleted)") and (file.startswith(folders) or "nvidia" in file)
        ]
        assert not gone, (
            f"process {each['pid']} runs from {gone[0]} and {len(gone) - 1} more; expected files "
            "that are there. Deploy again, or restart vllm.service"
        )


def test_the_engine_loads_nothing_from_elsewhere(process: LiveProcess, settings: Settings) -> None:
    """Code in the engine's memory that is of no package was put there by somebody."""
    expected = (settings.install_directory, "/usr/lib", "/usr/bin", "/lib", "/usr/share")
    for each in process.processes:
        strangers = [
            file
            for file in each["loaded"]
            if not file.startswith((*expected, "/var/cache/vllm/", "/tmp/"))
        ]
        assert not strangers, (
            f"process {each['pid']} has {', '.join(strangers)} loaded; expected libraries of its "
            f"environment and of the system. Look at its LD_ variables and /etc/ld.so.conf.d"
        )


def test_the_programs_that_a_deploy_left_are_this_projects(host: Host, settings: Settings) -> None:
    """They run as root at every deploy, so a changed one is everybody's way in."""
    found = read(host, "digests", f"{settings.install_directory}/bin")["files"]
    programs = PACKAGE / "on_host"
    files = (*programs.glob("*.py"), *programs.glob("*.sh"))
    own = {path.stem.replace("_", "-"): path.read_bytes() for path in files}
    # A part of every package, and no program by itself.
    del own["checkpoint-files"]
    packages = [path.parent.name for path in programs.glob("*/__main__.py")]
    own |= {package.replace("_", "-"): archive(package) for package in packages}
    own[TENANTS] = importable(TENANTS)
    for name, entry in found.items():
        assert name in own, (
            f"{settings.install_directory}/bin/{name} is none of this project's programs; expected "
            f"{', '.join(sorted(own))}. Remove it"
        )
        digest = hashlib.sha256(own[name]).hexdigest()
        assert entry["sha256"] == digest, (
            f"{settings.install_directory}/bin/{name} is not this project's program of that name. "
            "Deploy again"
        )
