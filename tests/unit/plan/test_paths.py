"""Where things are on a host, and that what is compared there is surveyed."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fortyninety.plan.paths import SERVICE_UNIT, Paths, compared, named, plan_paths
from fortyninety.plan.survey_request import survey_request
from fortyninety.releases.release import load_release
from tests.unit.readings import settings

RELEASE = load_release("0.8.5.post1")


@dataclass(frozen=True)
class More(Paths):
    """A host with two paths more, each of one declaration."""

    program = compared(lambda own: f"{own.root}/bin/program")
    folder = named(lambda own: f"{own.root}/folder")


def test_one_declaration_has_a_path_surveyed() -> None:
    paths = plan_paths(settings(), RELEASE)
    more = More(**{each.name: getattr(paths, each.name) for each in fields(paths)})
    assert more.surveyed == (*paths.surveyed, "/opt/fortyninety/bin/program")


def test_what_is_compared_is_in_the_surveys_request() -> None:
    files = survey_request(settings(), RELEASE).files
    assert {SERVICE_UNIT, plan_paths(settings(), RELEASE).complete} <= set(files)


def test_the_engine_lives_in_a_folder_named_by_its_release_and_lock() -> None:
    paths = plan_paths(settings(), RELEASE)
    assert paths.engine.startswith("/opt/fortyninety/engines/0.8.5.post1-")
    assert paths.engine.endswith(RELEASE.environment_name)
    other = plan_paths(settings(), load_release("0.32.0-cpu"))
    assert other.engine != paths.engine
