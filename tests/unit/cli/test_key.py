"""`fortyninety key`: what it keeps, shows and refuses."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fortyninety.cli import main
from fortyninety.gateway.key_file import read_keys
from fortyninety.gateway.key_map import map_text
from fortyninety.gateway.keys import Key
from tests.unit.cli.run_lines import Ended
from tests.unit.cli.test_wrong_inputs import faults
from tests.unit.cli.wrong_inputs import CONTROL, LONG

KEPT = {
    "name": "ada",
    "tenant": "ada",
    "sha256": "0" * 64,
    "requests_per_minute": 60,
    "concurrent": 4,
    "created": "2026-11-26",
}
WRONG_FILES = {
    "empty": "",
    "no JSON": "{",
    "a list": "[]",
    "of another version": json.dumps({"version": 2, "keys": []}),
    "with a word too many": json.dumps({"version": 1, "keys": [], "more": 1}),
    "with the same name twice": json.dumps(
        {"version": 1, "keys": [KEPT, KEPT | {"sha256": "1" * 64}]}
    ),
    "with the same hash twice": json.dumps({"version": 1, "keys": [KEPT, KEPT | {"name": "bob"}]}),
    "with a line end in a name": json.dumps({"version": 1, "keys": [KEPT | {"name": "a\nb"}]}),
    "with a line end after a hash": json.dumps(
        {"version": 1, "keys": [KEPT | {"sha256": "0" * 64 + "\n"}]}
    ),
    "with a word for a number": json.dumps({"version": 1, "keys": [KEPT | {"concurrent": "4"}]}),
    "with control characters": json.dumps({"version": 1, "keys": [KEPT | {CONTROL: 1}]}),
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """An inventory; its content does not matter."""
    path = tmp_path / "prod.py"
    path.write_text("fleet = ['gpu-box-1']\n")
    return path


def run(*arguments: str) -> Result:
    """Without sending: pyinfra_cli patches the standard library of its process."""
    verb, *words = arguments
    alone = [] if verb == "list" else ["--no-send"]
    return CliRunner().invoke(main, ["key", verb, *alone, *words])


def kept(inventory: Path) -> tuple[Key, ...]:
    return read_keys(inventory.with_name("prod.keys.json"))


def test_a_key_is_shown_once_and_only_its_hash_is_kept(inventory: Path) -> None:
    ended = run("add", str(inventory), "ada", "--tenant", "sales", "--expires", "2999-01-31")
    assert ended.exit_code == 0
    secret = ended.stdout.strip()
    # 256 bits in base64.
    assert secret.startswith("fn90-") and len(secret) == len("fn90-") + 43
    file = inventory.with_name("prod.keys.json")
    assert secret not in file.read_text() and file.stat().st_mode & 0o777 == 0o600
    (key,) = kept(inventory)
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (key.tenant, key.requests_per_minute, key.concurrent) == ("sales", 60, 4)
    listed = run("list", str(inventory))
    assert "sales" in listed.stdout and "2999-01-31" in listed.stdout
    assert secret not in listed.stdout and key.sha256 not in listed.stdout


def test_a_key_stands_in_a_file_and_in_no_json(inventory: Path, tmp_path: Path) -> None:
    assert run("add", str(inventory), "ada", "--json").exit_code == 2
    assert kept(inventory) == ()
    file = tmp_path / "ada.key"
    ended = run("add", str(inventory), "ada", "--json", "--output", str(file))
    assert ended.exit_code == 0 and file.stat().st_mode & 0o777 == 0o600
    secret = file.read_text().strip()
    assert secret not in ended.stdout
    assert json.loads(ended.stdout)["result"]["state"] == "usable"
    # A file that is there is nobody's to replace, and no key is made for it.
    assert run("add", str(inventory), "bob", "--output", str(file)).exit_code == 2
    assert file.read_text().strip() == secret and len(kept(inventory)) == 1


def test_a_revoked_key_is_in_no_map_and_its_name_is_taken(inventory: Path) -> None:
    for name in ("ada", "bob"):
        assert run("add", str(inventory), name).exit_code == 0
    ada, bob = kept(inventory)
    assert run("revoke", str(inventory), "ada").exit_code == 0
    assert map_text(kept(inventory), 5) == (
        f"# changed 5\n{bob.sha256} bob:bob:60:4:9999999999999\n"
    )
    assert kept(inventory)[0].sha256 == ada.sha256
    assert run("revoke", str(inventory), "ada").exit_code == 0
    assert run("add", str(inventory), "ada").exit_code == 2
    assert run("rotate", str(inventory), "ada").exit_code == 2
    page = json.loads(run("list", str(inventory), "--json").stdout)
    assert [each["state"] for each in page["result"]["keys"]] == ["revoked", "usable"]


def test_a_rotated_key_is_another_for_the_same(inventory: Path) -> None:
    run("add", str(inventory), "ada", "--concurrent", "9")
    (before,) = kept(inventory)
    secret = run("rotate", str(inventory), "ada").stdout.strip()
    (after,) = kept(inventory)
    assert after.sha256 == hashlib.sha256(secret.encode()).hexdigest() != before.sha256
    assert after.model_copy(update={"sha256": before.sha256}) == before


@pytest.mark.parametrize(
    "line",
    [
        *([each] for each in ("", "Ada", "-", "a:b", "a b", CONTROL, LONG, "ada\n", "ä", "..")),
        *(["ada", "--tenant", each] for each in ("", "a:b", CONTROL, LONG, "t\n")),
        *(["ada", "--requests-per-minute", each] for each in ("0", "-1", "9" * 300)),
        *(["ada", "--concurrent", each] for each in ("0", "-1", "9" * 300)),
        *(["ada", "--expires", each] for each in ("2020-01-01", "soon", CONTROL, LONG)),
        *(["ada", "--output", each] for each in ("/", "no/such/folder/key", LONG)),
    ],
    ids=lambda line: repr(line)[:40],
)
def test_a_value_that_cannot_be_makes_no_key(inventory: Path, line: list[str]) -> None:
    name, *options = line
    ended = run("add", *options, "--", str(inventory), name)
    found = Ended(ended.exit_code, ended.stdout, ended.stderr)
    assert faults(found, line) == []
    assert kept(inventory) == ()


@pytest.mark.parametrize("what", WRONG_FILES)
@pytest.mark.parametrize("line", [("list",), ("add", "new"), ("revoke", "ada"), ("rotate", "ada")])
def test_a_file_of_no_keys_is_refused_and_kept(
    inventory: Path, what: str, line: tuple[str, ...]
) -> None:
    file = inventory.with_name("prod.keys.json")
    file.write_text(WRONG_FILES[what])
    ended = run(line[0], str(inventory), *line[1:])
    assert faults(Ended(ended.exit_code, ended.stdout, ended.stderr), line) == []
    assert "is no file of keys" in ended.stderr
    assert file.read_text() == WRONG_FILES[what]


def test_a_name_that_no_key_has_is_refused(inventory: Path) -> None:
    run("add", str(inventory), "ada")
    for command in ("revoke", "rotate"):
        for name in ("bob", CONTROL, LONG, ""):
            ended = run(command, "--", str(inventory), name)
            assert faults(Ended(ended.exit_code, ended.stdout, ended.stderr), [name]) == []


def test_a_second_tenant_is_refused_where_no_engine_keeps_the_two_apart(inventory: Path) -> None:
    host = {"gateway": True, "engine": "0.8.5.post1", "ssh_hostname": "127.0.0.1"}
    inventory.write_text(f"fleet = [('gpu-box-1', {host!r})]\n")
    assert run("add", str(inventory), "ada").exit_code == 0
    before = kept(inventory)
    # In a process of its own: pyinfra_cli patches the standard library.
    command = [sys.executable, "-m", "fortyninety", "key", "add", str(inventory), "bob"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2 and ended.stdout == "", ended.stdout
    for word in ("gpu-box-1", "2 (ada, bob)", "enable_prefix_caching = False", "0.32.0"):
        assert word in ended.stderr
    assert kept(inventory) == before
