"""What a host without an engine is planned to be, and what is refused of it."""

from __future__ import annotations

from dataclasses import replace

from fortyninety.plan.paths import SERVICE_UNIT
from fortyninety.plan.plan import make_plan, needed_archives
from fortyninety.plan.preflight import host_problems, settings_problems
from fortyninety.releases.release import load_release
from fortyninety.survey.reading import (
    CardsReading,
    DiskReading,
    FileState,
    FoldersReading,
    HostReading,
    KernelsReading,
    Place,
)
from tests.unit.readings import bare_host, settings

FRONT = settings(roles=["gateway"])


def host_without_cards() -> HostReading:
    """A host that no engine could be on."""
    return replace(
        bare_host(),
        cards=CardsReading(),
        disk=DiskReading(filesystem="nfs"),
        kernels=KernelsReading(),
    )


def test_a_host_is_a_box_with_an_engine_unless_it_is_said() -> None:
    assert settings().roles == ["engine"] and settings().has_engine and not settings().is_front


def test_it_needs_no_card_no_disk_and_no_kernel() -> None:
    reading = host_without_cards()
    assert list(host_problems("front-1", FRONT, reading)) == []
    assert list(host_problems("box-1", settings(), reading))


def test_nothing_of_an_engine_is_planned() -> None:
    reading = host_without_cards()
    plan = make_plan(FRONT, load_release(FRONT.engine), reading)
    assert not plan.has_engine and not plan.arguments and not plan.environment
    assert not plan.python_packages and not plan.apt_sources
    assert needed_archives(plan, reading) == ()


def test_settings_that_only_an_engine_has_are_not_looked_at() -> None:
    assert list(settings_problems("front-1", settings(roles=["monitor"], gpu_model="none"))) == []


def test_it_is_in_no_cell() -> None:
    found = settings_problems("front-1", settings(roles=["gateway"], cell="a"))
    assert [each.subject for each in found] == ["cell"]


def test_an_engine_from_before_is_not_left_to_itself() -> None:
    unit = FileState(kind="regular file", mode="644", owner="root", group="root")
    reading = replace(host_without_cards(), files={SERVICE_UNIT: unit})
    (problem,) = host_problems("front-1", FRONT, reading)
    assert "vllm.service is there" in str(problem) and "fortyninety reset" in str(problem)


def test_of_its_folders_only_its_own_counts() -> None:
    places = [
        Place("models_directory", "/srv/models", "directory", "777", 0, next_is_there=True),
        Place("install_directory", "/opt/fortyninety", "directory", "777", 0, next_is_there=True),
    ]
    reading = replace(host_without_cards(), folders=FoldersReading(places=places))
    (problem,) = host_problems("front-1", FRONT, reading)
    assert problem.subject == "install_directory"
