"""What a reset takes and leaves: everything that is declared, and nothing that others brought."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fortyninety.packages.needed import DpkgEntry
from fortyninety.plan import paths as declared
from fortyninety.plan.paths import Declared, Paths
from fortyninety.plan.reset import (
    NOT_OURS,
    UNITS,
    ResetPlan,
    accounts_to_go,
    folders_to_go,
    holds_to_go,
    left,
    packages_to_go,
    plan_reset,
)
from fortyninety.releases.release import load_release
from fortyninety.survey.reading import (
    AccountReading,
    AptReading,
    DriverReading,
    HostReading,
    PackageState,
)
from fortyninety.survey.remains import Remains
from tests.unit.readings import settings

# What operations take away by themselves, and not as one of the plan's files or folders.
BY_AN_OPERATION = {
    *(path for _, path in UNITS),
    declared.CELL_FIREWALL_UNIT,
    declared.CELL_FIREWALL_RULES,
    declared.FIREWALL_UNIT,
    declared.FIREWALL_RULES,
    declared.NOUVEAU_CONFIGURATION,
    declared.HAPROXY_MASK,
    declared.EXPORTER_MASK,
    declared.PROMETHEUS_MASK,
    declared.ALERTMANAGER_MASK,
    declared.BROUGHT,
}


def reset_plan(*, keep_model: bool = False, keep_driver: bool = False) -> ResetPlan:
    return plan_reset(
        settings(second_copy_directory="/mnt/second"),
        load_release("0.8.5.post1"),
        keep_model=keep_model,
        keep_driver=keep_driver,
    )


def everything_declared(paths: Paths) -> set[str]:
    """The paths of every declaration there is: of every host, of a host, and the folders."""
    everywhere = {
        value
        for name, value in vars(declared).items()
        if name.isupper() and isinstance(value, str) and value.startswith("/")
    }
    own = {
        getattr(paths, name)
        for kind in type(paths).__mro__
        for name, each in vars(kind).items()
        if isinstance(each, Declared)
    }
    given = {paths.root, paths.models, paths.second_copy or ""}
    return everywhere | own | given | {each.path for each in paths.directories}


def test_every_declared_path_goes() -> None:
    plan = reset_plan()
    folders = (*plan.folders, *plan.model_folders)
    stays = {
        path
        for path in everything_declared(plan.paths)
        if path not in {*plan.files, *plan.emptied, *BY_AN_OPERATION, *NOT_OURS}
        and not any(path == each or path.startswith(f"{each}/") for each in folders)
    }
    assert not stays, f"no reset takes these away: {sorted(stays)}"


def test_what_is_compared_is_read() -> None:
    plan = reset_plan()
    assert {*plan.files, *BY_AN_OPERATION} <= set(plan.request.files)


def test_the_folder_of_the_installation_goes_only_when_it_is_empty() -> None:
    plan = reset_plan()
    assert plan.paths.root not in plan.folders
    assert plan.paths.root in plan.emptied


def test_kept_models_keep_their_folders() -> None:
    assert not {"/srv/models", "/mnt/second"} & set(reset_plan(keep_model=True).emptied)
    assert {"/srv/models", "/mnt/second"} <= set(reset_plan().emptied)


REMAINS = Remains(
    noted=True,
    packages=("gcc", "libcuda1", "nvidia-kernel-dkms", "python3.11"),
    holds=("libcuda1",),
    dpkg={
        "gcc": DpkgEntry(installed=True),
        "libcuda1": DpkgEntry(installed=True),
        "nvidia-kernel-dkms": DpkgEntry(installed=True, needs="gcc"),
        "python3.11": DpkgEntry(installed=True),
    },
)


def test_a_kept_driver_keeps_what_it_needs_and_its_holds_and_what_apt_was_told() -> None:
    kept = reset_plan(keep_driver=True)
    assert packages_to_go(kept, REMAINS)[0] == ("python3.11",)
    assert holds_to_go(kept, REMAINS) == ()
    assert declared.DRIVER_PREFERENCES not in kept.files
    assert packages_to_go(reset_plan(), REMAINS)[0] == REMAINS.packages
    assert holds_to_go(reset_plan(), REMAINS) == ("libcuda1",)


def test_only_caches_that_a_deploy_began_go() -> None:
    plan = reset_plan()
    remains = Remains(noted=True, caches=("uv",), there=frozenset(plan.caches.values()))
    assert folders_to_go(plan, remains) == ("/root/.cache/uv",)
    assert "/root/.cache/pip, which was there before" in list(left(plan, HostReading(), remains))


@pytest.mark.parametrize(("number", "goes"), [(0, False), (1, True), (999, True), (1000, False)])
def test_only_an_account_of_the_system_goes(number: int, goes: bool) -> None:
    assert bool(accounts_to_go(Remains(accounts={"vllm": number}))) is goes


def test_what_stays_is_said() -> None:
    reading = HostReading(
        apt=AptReading(packages={"libnvidia-ml1": PackageState("550.163.01-2", held=False)}),
        driver=DriverReading(module="550.163.01"),
        account=AccountReading(entry="vllm:x:990:990::/:/bin/sh"),
    )
    said = " / ".join(left(reset_plan(), reading, replace(REMAINS, drop_ins=("/etc/x.d",))))
    assert "driver 550.163.01 in memory" in said
    assert "package libnvidia-ml1 550.163.01-2, which was there before" in said
    assert "account vllm, which was there before" in said
    assert "/etc/x.d, which is somebody's own" in said


def test_a_host_without_a_note_is_said_to_keep_its_packages() -> None:
    plan = reset_plan()
    remains = Remains(noted=False, there=frozenset(plan.folders))
    said = " / ".join(left(plan, HostReading(), remains))
    assert "did not note" in said
    assert packages_to_go(plan, remains) == ((), {})
