"""What is said of the settings: to people, to editors and to other programs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from click.testing import CliRunner, Result

from fortyninety.cli import main
from fortyninety.settings.defaults import ALL, default_settings
from fortyninety.settings.described import described_settings
from fortyninety.settings.host import host
from fortyninety.settings.schema import host_schema
from tests.unit.settings import host_source


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["settings", *arguments])


def test_every_setting_is_told_with_its_reason_and_section() -> None:
    found = described_settings()
    assert [each.name for each in found] == list(default_settings())
    assert [each.name for each in found if not each.why or not each.section] == []
    by_name = {each.name: each for each in found}
    assert by_name["max_num_seqs"].why == by_name["max_model_len"].why
    assert by_name["engine"].why.startswith("Which pinned vLLM release serves")
    assert by_name["power_limit"].section == "The cards"


def test_the_module_for_editors_is_of_these_settings() -> None:
    """Mended by `python -m tests.unit.settings.host_source > fortyninety/settings/host.py`."""
    module = Path(host.__code__.co_filename)
    assert module.read_text() == host_source.source()


def test_a_host_by_that_module_is_what_pyinfra_takes() -> None:
    assert host("gpu-box-1", gpu_count=2) == ("gpu-box-1", {"gpu_count": 2})


def test_the_schema_has_every_setting_and_takes_each_default() -> None:
    properties = host_schema()["properties"]
    assert set(default_settings()) <= set(properties)
    for name, default in default_settings().items():
        own = properties[name]
        assert own["default"] == default
        if default is None:
            assert {"type": "null"} in own.get("anyOf", []) or "null" in own["type"]
    assert properties["ssh_port"]["type"] == ["integer", "null"]


def test_one_setting_is_shown_with_what_it_takes() -> None:
    ended = run("power_limit")
    assert ended.exit_code == 0
    assert "# Takes a whole number of at least 1" in ended.stdout
    assert ended.stdout.endswith("power_limit = 400\n")
    assert max(map(len, ended.stdout.splitlines())) <= 80


def test_all_of_them_are_the_file_that_may_be_edited(tmp_path: Path) -> None:
    kept = tmp_path / "all.py"
    kept.write_text(run().stdout)
    assert kept.read_text() == ALL.read_text()
    assert runpy.run_path(str(kept))["port"] == 8000


def test_a_name_that_is_none_ends_with_2_and_the_nearest() -> None:
    ended = run("power_limt")
    assert ended.exit_code == 2
    assert "there is no setting 'power_limt'; did you mean power_limit?" in ended.stderr


def test_json_and_schema_are_read_by_programs() -> None:
    page = json.loads(run("--json", "port").stdout)
    (found,) = page["result"]["settings"]
    assert (found["name"], found["default"]) == ("port", 8000)
    assert found["allowed"] == "a whole number from 1024 to 65535"
    assert json.loads(run("--schema").stdout) == host_schema()
    assert json.loads(run("--schema", "--json").stdout)["result"] == host_schema()
