"""What of a deploy is on a host: its script run on a made-up folder, and its answer parsed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fortyninety.facts.remains import RemainsOfDeploy
from fortyninety.survey.records import Unreadable
from fortyninety.survey.remains import RemainsRequest, read_remains

A, B, C = (digit * 40 for digit in "abc")


def request(folder: Path) -> RemainsRequest:
    return RemainsRequest(
        note=f"{folder}/brought",
        own_account="daemon",
        folders=(f"{folder}/bin", f"{folder}/gone"),
        emptied=(f"{folder}/hollow", f"{folder}/full"),
        files=(f"{folder}/etc/x.conf", f"{folder}/etc/y.conf"),
        model_folders=(f"{folder}/models", f"{folder}/absent"),
        units=("there-is-no-such.service",),
    )


def answer(folder: Path) -> list[str]:
    command = RemainsOfDeploy().command(request(folder))
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def test_the_script_finds_what_a_deploy_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "brought").write_text(
        "package gcc\npackage gcc\nhold libcuda1\npackage ../x\npackage $(id)\naccount nobody\n"
        "account no-such-account\n"
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "hollow" / "below").mkdir(parents=True)
    (tmp_path / "full" / "below").mkdir(parents=True)
    (tmp_path / "full" / "below" / "file").touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / ".x.conf.fortyninety-0123456789").touch()
    (tmp_path / "etc" / ".y.conf.swp").touch()
    model = tmp_path / "models" / "m"
    for name in (A, B, f".incoming-{C}", "backup"):
        (model / name).mkdir(parents=True)
    (model / A / ".fortyninety-manifest").touch()
    (model / "current").symlink_to(model / A)
    remains = read_remains(answer(tmp_path))
    assert remains.noted
    assert remains.packages == ("gcc",)
    assert list(remains.accounts) == ["daemon", "nobody"]
    assert remains.there == {f"{tmp_path}/bin", f"{tmp_path}/hollow"}
    assert remains.cut == {f"{tmp_path}/etc/x.conf"}
    assert remains.models == {str(model): [f".incoming-{C}", A, "current"]}


def test_a_host_without_a_note_says_so(tmp_path: Path) -> None:
    assert not read_remains(answer(tmp_path)).noted


@pytest.mark.parametrize(
    "record",
    [
        "there\trelative",
        "model\t/srv/models\t..\tcurrent",
        f"model\t/srv/models\tm\t{A}/..",
        "package\t-rf",
        "account\troot;id\t0",
        "surprise\tx",
    ],
)
def test_an_answer_of_another_form_is_refused(record: str) -> None:
    with pytest.raises(Unreadable):
        read_remains(["begin", "noted\tno", record, "end"])
