"""Engine releases on real lab hosts: installed, upgraded live, broken on purpose, cut, rolled back.

One story, in the order of this file: each test starts from where the last one left the host.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fortyninety.model.file_list import keep_file_list
from fortyninety.model.folder_list import folder_files
from fortyninety.releases.lock import sealed
from fortyninety.releases.release import load_release
from lab import stages
from lab.hosts import LabHost, ssh
from lab.inventory import inventory
from lab.question import ask
from lab.sources import python_index, python_mirror
from lab.tiny_model import SENTENCE
from tests.lab.asking import complete_command, wait_until_it_answers
from tests.lab.deploys import Result, deploy, deploy_killed_in
from tests.lab.other_lock import entry, lock_of, other_lock, pins, project_copy

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

ENGINE = "0.32.0-cpu"
ENGINES = "/opt/fortyninety/engines"
LARGE = "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"


@pytest.fixture
def host(converged: LabHost) -> LabHost:
    """The host of this story."""
    return converged


@pytest.fixture
def large_model_pinned(tmp_path: Path) -> None:
    """A list of files for the 70B, whose plan wants one: nothing of it is fetched here."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    commit = inventory()[0][1]["model_revision"]
    keep_file_list(LARGE, commit, folder_files(folder), "a lab test", replacing=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of this project, for an operator's edits: deploys run from it as from the original."""
    return project_copy(tmp_path)


class Completions:
    """Completions asked for one after the other, all the while."""

    def __init__(self, host: LabHost) -> None:
        self.failed: list[str] = []
        self.answered = 0
        self._host = host
        self._done = threading.Event()

    def ask(self) -> None:
        asked = self._host.ssh(complete_command(self._host))
        if asked.returncode == 0:
            self.answered += 1
        else:
            self.failed.append(asked.stdout + asked.stderr)

    def ask_until_done(self) -> None:
        while not self._done.is_set():
            self.ask()
            self._done.wait(0.5)

    def end(self) -> None:
        self._done.set()


@contextmanager
def served_without_a_gap(host: LabHost) -> Iterator[None]:
    """Completions go on all the while, and so does the process that gives them."""
    before = process(host)
    completions = Completions(host)
    completions.ask()
    asking = threading.Thread(target=completions.ask_until_done)
    asking.start()
    try:
        yield
    finally:
        completions.end()
        asking.join()
    completions.ask()
    assert completions.answered > 2 and completions.failed == [], completions.failed
    assert process(host) == before
    assert ask(host, "Say hello.")[1] == SENTENCE


def process(host: LabHost) -> str:
    """The serving process, told from one that was restarted."""
    return host.ssh(
        "systemctl show --property=MainPID,ExecMainStartTimestamp,NRestarts vllm.service",
        check=True,
    ).stdout


def live(host: LabHost) -> str:
    """The environment that the running process is of."""
    shown = host.ssh("tr '\\0' ' ' < /proc/$(systemctl show -P MainPID vllm)/cmdline", check=True)
    return shown.stdout.partition("/bin/")[0]


def environments(host: LabHost) -> list[str]:
    found = host.ssh(f"find {ENGINES} -mindepth 1 -maxdepth 1 -type d", check=True)
    return sorted(found.stdout.split())


def rollback(*arguments: str) -> subprocess.CompletedProcess[str]:
    return stages.fortyninety("rollback", "inventory/lab.py", "--limit", "lab1", *arguments)


# --- Upgrades that break are refused while the old engine serves ----------------------------------


def refused(host: LabHost, ran: Result, reason: str) -> None:
    assert ran.exit_code != 0
    assert reason in ran.output, ran.output
    assert "Traceback" not in ran.output
    assert not [name for name in ran.changed if name.startswith("Service | Write")]
    assert live(host) in environments(host)


def test_a_lock_with_a_wrong_hash_never_becomes_live(host: LabHost, project: Path) -> None:
    requirements = pins(lock_of(project))
    good = entry(requirements, "idna")
    bad = re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", good)
    lock_of(project).write_text(sealed(ENGINE, requirements.replace(good, bad)))
    with served_without_a_gap(host):
        ran = deploy(project=project)
    refused(host, ran, "was not made, and what serves is untouched")
    assert "idna" in ran.output


@pytest.mark.exhaustive  # as above, and the build's own refusal is in tests/unit/on_host
def test_a_lock_that_lacks_a_package_never_becomes_live(host: LabHost, project: Path) -> None:
    requirements = pins(lock_of(project))
    lock_of(project).write_text(
        sealed(ENGINE, requirements.replace(entry(requirements, "fastapi"), ""))
    )
    with served_without_a_gap(host):
        ran = deploy(project=project)
    refused(host, ran, "the packages do not go together")
    assert "requires `fastapi" in ran.output


def test_a_flag_of_another_release_is_refused_by_the_engine_itself(
    host: LabHost, project: Path
) -> None:
    card = project / "engines" / ENGINE / "engine.yaml"
    card.write_text(card.read_text().replace("--max-num-seqs", "--max-num-sequences"))
    with served_without_a_gap(host):
        ran = deploy(project=project)
    refused(host, ran, "unrecognized arguments: --max-num-sequences")
    assert "the nearest it has is --max-num-seqs" in ran.output


def test_a_value_that_the_release_refuses_is_said_with_those_it_takes(host: LabHost) -> None:
    with served_without_a_gap(host):
        ran = deploy("--data", 'engine_arguments=["--dtype=float17"]')
    refused(host, ran, "--dtype: takes ")
    assert "float17" in ran.output


def test_a_lock_edited_by_hand_is_refused_before_anything(host: LabHost, project: Path) -> None:
    lock = lock_of(project)
    lock.write_text(lock.read_text().replace("sha256:0", "sha256:1", 1))
    with served_without_a_gap(host):
        ran = deploy(project=project)
    assert "Refused: nothing was changed on any host" in ran.output
    assert f"lab1: engines/{ENGINE}/requirements.txt is edited" in ran.output
    assert f"fortyninety engine lock {ENGINE}" in ran.output


def test_a_release_above_the_installed_driver_is_refused_before_anything(host: LabHost) -> None:
    with served_without_a_gap(host):
        ran = deploy("--data", "engine=0.32.0", "--data", "driver_branch=550")
    assert "Refused: nothing was changed on any host" in ran.output
    assert "lab1: driver_branch is 550; expected 580 or later for engine 0.32.0" in ran.output


def test_a_missing_python_and_no_network_is_refused_before_anything(host: LabHost) -> None:
    host.ssh("DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge python3.11-dev", check=True)
    proxy = "/etc/apt/apt.conf.d/99gone"
    host.ssh(f"echo 'Acquire::http::Proxy \"http://127.0.0.1:9\";' > {proxy}", check=True)
    fingerprint = "find /etc /opt /var/lib/dpkg -xdev -printf '%p %C@\\n' | sort | sha256sum"
    before = host.ssh(fingerprint, check=True).stdout
    with served_without_a_gap(host):
        ran = deploy()
    assert host.ssh(fingerprint, check=True).stdout == before
    host.ssh(f"rm {proxy}", check=True)
    assert "Refused: nothing was changed on any host" in ran.output, ran.output
    assert "trixie is out of reach (" in ran.output
    assert "bookworm is out of reach (" in ran.output
    mended = deploy()
    assert mended.exit_code == 0, mended.output
    assert "Python | Install Python 3.11 and a compiler, and rsync" in mended.changed
    # And what the builds that failed above have left.
    assert mended.changed.keys() <= {
        "Python | Install Python 3.11 and a compiler, and rsync",
        "Gate | Remove environments that are neither live nor kept",
    }


# --- Cut off in the middle of a build -------------------------------------------------------------


# A pattern that does not match the shell whose command line holds it.
UV = "[u]v pip install"
BUILDER = "[b]uild-environment"


def until_uv_installs(host: LabHost) -> None:
    """Wait for uv at work on an environment, with some of the packages in it."""
    deadline = time.monotonic() + 120
    some = (
        f"for each in {ENGINES}/*/; do test -e $each/.fortyninety-complete || "
        "test $(ls $each/lib/python3.11/site-packages | wc -l) -lt 50 || exit 0; done; exit 1"
    )
    while host.ssh(f"pgrep --full '{UV}' && ({some})").returncode != 0:
        assert time.monotonic() < deadline, "uv did not begin to install"


def converges(host: LabHost, project: Path) -> None:
    ran = deploy(project=project)
    assert ran.exit_code == 0, ran.output
    again = deploy(project=project)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    assert ask(host, "Say hello.")[1] == SENTENCE
    unmarked = host.ssh(
        f"for each in {ENGINES}/*/; do test -e $each/.fortyninety-complete || echo $each; done"
    )
    assert unmarked.stdout == ""


@pytest.mark.exhaustive  # of a build that was cut tests/unit/on_host, of power cuts test_deploy
def test_a_build_whose_host_lost_power_is_cleared_and_made_anew(
    host: LabHost, project: Path
) -> None:
    other_lock(project)
    deploying = threading.Thread(target=deploy, kwargs={"project": project})
    deploying.start()
    until_uv_installs(host)
    host.cut_power()
    deploying.join()
    host.start()
    wait_until_it_answers(host)
    converges(host, project)
    # The one before is there still, whole, and it is what a rollback goes to.
    assert len(environments(host)) == 2


def test_an_upgrade_that_went_well_is_rolled_back_and_forth(host: LabHost, project: Path) -> None:
    other_lock(project)
    converges(host, project)
    upgraded = live(host)
    back = rollback("--json")
    assert back.returncode == 0, back.stderr
    (done,) = json.loads(back.stdout)["result"]["hosts"]
    assert done["from"]["engine"] == upgraded
    assert done["to"]["engine"] == live(host) != upgraded
    assert host.ssh(f"readlink {ENGINES}/current", check=True).stdout.strip() == live(host)
    assert ask(host, "Say hello.")[1] == SENTENCE
    forth = rollback()
    assert forth.returncode == 0, forth.stderr
    assert re.search(
        r"^lab1: from 0.32.0-cpu \(configuration \w+\) back to 0.32.0-cpu \(", forth.stdout
    )
    assert live(host) == upgraded
    assert ask(host, "Say hello.")[1] == SENTENCE


def test_going_back_by_settings_builds_nothing_and_asks_no_index(host: LabHost) -> None:
    host.ssh("echo 'index-url = \"http://127.0.0.1:9\"' >> /etc/uv/uv.toml", check=True)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert "Engine | Install vLLM 0.32.0-cpu from its lock" in ran.unchanged
    host.ssh("sed -i '$d' /etc/uv/uv.toml", check=True)
    assert live(host).endswith(load_release(ENGINE).environment_name)


def test_a_rollback_with_nothing_to_go_to_changes_nothing_and_says_so(host: LabHost) -> None:
    with served_without_a_gap(host):
        back = rollback("--engine", "0.8.5.post1")
    assert back.returncode == 1
    assert "lab1: nothing was changed: no 0.8.5.post1 served here" in back.stdout


def third_lock(project: Path) -> None:
    """A lock that no environment on the host is of."""
    other_lock(project)
    lock_of(project).write_text(sealed(ENGINE, "# A third one.\n" + pins(lock_of(project))))


@pytest.mark.exhaustive  # a build fails its host in the tests of locks, and is cut off above
def test_a_build_whose_uv_was_killed_fails_its_host_and_leaves_the_live_one(
    host: LabHost, project: Path
) -> None:
    third_lock(project)
    results: list[Result] = []
    deploying = threading.Thread(target=lambda: results.append(deploy(project=project)))
    with served_without_a_gap(host):
        deploying.start()
        # Ahead of its stage, and in it.
        for _ in range(2):
            until_uv_installs(host)
            host.ssh(f"pkill --signal KILL --full '{UV}'", check=True)
        deploying.join()
    refused(host, results[0], "does not install from the host's own index: killed by SIGKILL")


WHEELS = "/srv/wheels"


def put_wheels(host: LabHost, project: Path, folder: Path) -> None:
    """Fill a folder with every wheel that the project's lock names, and copy it to the host."""
    fetched = subprocess.run(
        [
            *(sys.executable, "-m", "fortyninety", "engine", "download", ENGINE, str(folder)),
            *("--find-links", str(python_index.wheels_directory())),
        ],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert fetched.returncode == 0, fetched.stderr
    copying = ssh.command_line(host.address, [f"mkdir -p {WHEELS} && tar -C {WHEELS} -x"])
    with subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE) as archive:
        subprocess.run(copying, stdin=archive.stdout, check=True)
    shutil.rmtree(folder)


@pytest.mark.exhaustive  # a controller dies in this stage in test_deploy, a build twice above
def test_a_build_whose_controller_was_killed_goes_on_and_the_next_run_uses_it(
    host: LabHost, project: Path, tmp_path: Path
) -> None:
    """And it uses no index: wheels and Python come from folders.

    The mirror of Python is one that the lab fills with Debian's, as uv lays out its own.
    """
    third_lock(project)
    python_mirror.lay_out(host)
    put_wheels(host, project, tmp_path / "wheels")
    offline = [
        *("--data", "python_source=uv", "--data", f"python_mirror={python_mirror.ADDRESS}"),
        *("--data", "package_index=none", "--data", f"wheel_directory={WHEELS}"),
    ]
    with served_without_a_gap(host):
        deploy_killed_in(
            "Ahead | Begin to build vLLM",
            *offline,
            project=project,
            when=lambda: until_uv_installs(host),
        )
        # Its work is done by the time that the next run gets the turn.
        assert host.ssh(f"pgrep --full '{BUILDER}'").returncode == 0
    ran = deploy(*offline, project=project)
    assert ran.exit_code == 0, ran.output
    again = deploy(*offline, project=project)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    assert ask(host, "Say hello.")[1] == SENTENCE
    interpreter = host.ssh(f"readlink -f {live(host)}/bin/python", check=True).stdout
    assert interpreter.startswith("/opt/fortyninety/pythons/cpython-3.11")
    # One is kept besides the live one: the third before it is gone, with its lock and its unit.
    kept = environments(host)
    assert len(kept) == 2 and live(host) in kept, kept
    units = host.ssh("grep -h -o '^ExecStart=[^ ]*' /opt/fortyninety/served/*", check=True).stdout
    assert all(each.partition("=")[2].partition("/bin/")[0] in kept for each in units.split())
    back = rollback()
    assert back.returncode == 0, back.stdout + back.stderr


# --- All releases ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "release",
    [
        pytest.param("0.6.3.post1", marks=pytest.mark.exhaustive),
        "0.8.5.post1",
        pytest.param("0.32.0", marks=pytest.mark.exhaustive),
        "0.32.0-cpu",
        pytest.param("0.33.0", marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.usefixtures("large_model_pinned")
def test_a_release_installs_from_its_lock_and_its_parser_takes_the_70b_in_all_profiles(
    host: LabHost, release: str
) -> None:
    for profile in ("long-context", "balanced", "burst"):
        ran = deploy(
            # Over two cards, with what those without peer-to-peer need.
            *("--data", f"engine={release}", "--data", f"profile={profile}"),
            *("--data", "tensor_parallel_size=2"),
            *("--data", f"model_repository={LARGE}"),
            *("--data", "quantization=awq_marlin", "--data", "kv_cache_dtype=fp8"),
            deploy_file="bench/engine_deploy.py",
        )
        assert ran.exit_code == 0, ran.output
        assert "Have the engine read its command line" in ran.changed
    # 7 GB each: one at a time.
    if release != ENGINE:
        host.ssh(f"rm -rf {ENGINES}/{release}-*", check=True)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("large_model_pinned")
def test_a_lock_that_starts_on_no_gpu_is_refused_by_the_module_that_it_lacks(
    host: LabHost, project: Path
) -> None:
    """As 0.8.5.post1 was first locked, it imported everywhere and started on no GPU."""
    lock = project / "engines/0.8.5.post1/requirements.txt"
    requirements = pins(lock)
    lacking = requirements.replace(entry(requirements, "setuptools"), "")
    lock.write_text(sealed("0.8.5.post1", lacking))
    with served_without_a_gap(host):
        ran = deploy(
            *("--data", "engine=0.8.5.post1", "--data", "tensor_parallel_size=2"),
            *("--data", f"model_repository={LARGE}"),
            *("--data", "quantization=awq_marlin", "--data", "kv_cache_dtype=fp8"),
            deploy_file="bench/engine_deploy.py",
            project=project,
        )
    assert ran.exit_code != 0
    assert "it would not start on a GPU" in ran.output
    assert "No module named 'setuptools'" in ran.output
