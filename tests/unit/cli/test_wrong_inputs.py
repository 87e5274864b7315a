"""Every command with wrong inputs: one line, the right code, and JSON where it was asked for.

The lines are generated from the commands themselves, so that a new command is tried as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fortyninety.checkout import ROOT
from fortyninety.cli import main
from tests.unit.cli.command_tree import EVERY, LEAVES, named
from tests.unit.cli.run_lines import Ended, alone, run_lines
from tests.unit.cli.wrong_inputs import BASES, CONTROL, LONG, Wrong, line_of, misread, senseless
from tests.unit.cli.wrong_inventories import KINDS, OF_A_HOST, OUT_OF_REACH, out_of_reach, write

# The longest line that is said.
LONGEST = 2100
# The commands that ask hosts of an inventory. `key` reads the file beside it alone, which
# test_key.py spoils.
ASKING = {
    path: command
    for path, command in LEAVES.items()
    if path[0] != "key" and any(each.name == "inventory" for each in command.params)
}
# pytest runs in a process of its own for each line of it.
SLOW = (("check",), ("report",))
# Has no options of its own: what it does not know is for a host.
PASSED_ON = ("lab", "ssh")
# Compute for a host that they cannot reach.
WITHOUT_HOSTS = (("fit",), ("monitoring", "export"))


def wrongs() -> dict[str, tuple[tuple[str, ...], list[Wrong]]]:
    """The wrong lines of each command; none of the lab's that would begin something."""
    found = {}
    for path, command in [((), main), *EVERY.items()]:
        lines = list(misread(path, command))
        if path in LEAVES and path[0] != "lab":
            lines += senseless(path, command)
        found[named(path)] = path, list({each.line: each for each in lines}.values())
    return found


WRONG = wrongs()


def takes_a_value(path: tuple[str, ...]) -> bool:
    """Whether the command has an argument or an option with a value of one."""
    params = EVERY[path].params if path else []
    return (
        path in LEAVES
        and path[0] != "lab"
        and any(each.nargs == 1 and not getattr(each, "is_flag", False) for each in params)
    )


def faults(ended: Ended, line: Sequence[str]) -> list[str]:
    """What is not as it must be where a line is refused."""
    said = ended.stderr.splitlines()
    errors = [each for each in said if each.startswith("Error: ")]
    found = []
    if ended.exit_code != 2:
        found.append(f"ends with {ended.exit_code}")
    if len(errors) != 1 or said[-1:] != errors:
        found.append(f"{len(errors)} errors")
    if "Traceback" in ended.stderr:
        found.append("a traceback")
    if not all(each.isprintable() and len(each) <= LONGEST for each in said):
        found.append("what a terminal obeys, or a line without end")
    if "--json" in line:
        found += envelope_faults(ended)
    elif ended.stdout:
        found.append(f"an answer: {ended.stdout[:80]!r}")
    return found


def envelope_faults(ended: Ended) -> list[str]:
    """What is wrong with the object on standard output of a line without an answer."""
    try:
        page = json.loads(ended.stdout)
    except ValueError:
        return [f"no JSON: {ended.stdout[:80]!r}"]
    if list(page) != ["command", "exit_code", "problems", "result"]:
        return [f"another object: {page!r:.80}"]
    found = []
    if page["exit_code"] != ended.exit_code:
        found.append(f"says {page['exit_code']} and ends with {ended.exit_code}")
    problems = page["problems"]
    if not problems or not all(_is_problem(each) for each in problems):
        found.append(f"problems {problems!r:.200}")
    return found


def _is_problem(value: dict[str, str]) -> bool:
    keys = list(value)
    return keys in (["message"], ["host", "subject", "found", "expected", "remedy"]) and all(
        isinstance(each, str) and each.isprintable() for each in value.values()
    )


def report(lines: Sequence[Sequence[str]], ended: Iterable[Ended]) -> list[str]:
    """A line for each that is not refused as it must be."""
    return [
        f"{' '.join(line)!r:.100}: {', '.join(found)}: {each.stderr[-300:]!r}"
        for line, each in zip(lines, ended, strict=True)
        if (found := faults(each, line))
    ]


def in_both_forms(path: tuple[str, ...], line: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The line, and with `--json`, which stands where it is nobody's value."""
    if path == PASSED_ON:
        return [line]
    return [line, (*path, "--json", *line[len(path) :])]


@pytest.mark.parametrize("name", WRONG)
def test_there_are_fifteen_wrong_lines_of_every_command(name: str) -> None:
    path, lines = WRONG[name]
    # A command without a value of its own can be called wrongly in fewer ways.
    elsewhere = len(KINDS) if path in ASKING or path[:1] == ("key",) else 0
    assert len(lines) + elsewhere >= (15 if takes_a_value(path) else 1)


def test_a_line_that_cannot_be_read_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    for path, command in EVERY.items():
        if path in LEAVES:
            monkeypatch.setattr(command, "callback", lambda **_: begun.append("began"))
    lines = [
        line
        for path, command in [((), main), *EVERY.items()]
        for each in misread(path, command)
        for line in in_both_forms(path, each.line)
    ]
    ended = []
    for line in lines:
        ran = CliRunner().invoke(main, line)
        ended.append(Ended(ran.exit_code, ran.stdout, ran.stderr))
    assert report(lines, ended) == []
    assert begun == []


def test_a_senseless_value_is_refused_by_every_command(tmp_path: Path) -> None:
    lines = [
        line
        for path, wrong in WRONG.values()
        if path in LEAVES and path not in SLOW and path[0] != "lab"
        for each in wrong
        for line in in_both_forms(path, each.line)
    ]
    assert len(lines) > 300
    assert report(lines, run_lines(lines, tmp_path)) == []


def asking(path: tuple[str, ...], command: click.Command, **given: str) -> list[tuple[str, ...]]:
    """The line of a command that asks hosts, with an inventory and a limit, in both forms."""
    base = {} if path in WITHOUT_HOSTS else BASES.get(path, {})
    for each in command.params:
        # One that names its hosts has no limit.
        if each.name in ("box", "boxes"):
            given = {**given, each.name: given["limit"]}
    return in_both_forms(path, line_of(path, command, base | given))


def test_no_command_takes_an_inventory_that_cannot_be_used(tmp_path: Path) -> None:
    paths = write(tmp_path)
    lines, kinds = [], []
    for path, command in ASKING.items():
        for kind, inventory in paths.items():
            if path not in SLOW and not (path in WITHOUT_HOSTS and kind in OUT_OF_REACH):
                lines += asking(path, command, inventory=str(inventory), limit="*")
                kinds += [kind, kind]
    ended = run_lines(lines, tmp_path)
    for line, kind, each in zip(lines, kinds, ended, strict=True):
        assert KINDS[kind][1] in each.stdout + each.stderr, (line, kind, each)
        judged = report_of_hosts if kind in OF_A_HOST else report
        assert judged([line], [each]) == []


@pytest.mark.parametrize("kind", ["with a syntax error", "with unreadable settings", "that raises"])
@pytest.mark.parametrize("path", SLOW, ids=" ".join)
def test_check_does_not_either(path: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    line = [*path, "--json", str(write(tmp_path)[kind])]
    ran = subprocess.run(
        [sys.executable, "-m", "fortyninety", *line],
        cwd=ROOT,
        env=alone(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    ended = Ended(ran.returncode, ran.stdout, ran.stderr)
    assert report([line], [ended]) == []
    assert KINDS[kind][1] in ended.stderr


def test_a_limit_that_no_host_answers_to_is_refused(tmp_path: Path) -> None:
    inventory = str(out_of_reach(tmp_path))
    lines = [
        line
        for path, command in ASKING.items()
        if path not in SLOW
        for limit in ("two", "", CONTROL, LONG)
        for line in asking(path, command, inventory=inventory, limit=limit)
    ]
    ended = run_lines(lines, tmp_path)
    assert report(lines, ended) == []
    assert all("no host matches --limit" in each.stderr for each in ended)


def test_a_host_that_cannot_be_reached_is_said_with_2(tmp_path: Path) -> None:
    inventory = str(out_of_reach(tmp_path))
    lines = [
        line
        for path, command in ASKING.items()
        if path not in (*SLOW, *WITHOUT_HOSTS)
        for line in asking(path, command, inventory=inventory, limit="one")
    ]
    ended = run_lines(lines, tmp_path)
    assert report_of_hosts(lines, ended) == []
    for line, each in zip(lines, ended, strict=True):
        assert "one" in each.stdout + each.stderr, line


def report_of_hosts(lines: Sequence[Sequence[str]], ended: Iterable[Ended]) -> list[str]:
    """As `report`, where a problem may be one of a host, which is said with the other hosts."""
    found = []
    for line, each in zip(lines, ended, strict=True):
        wrong = envelope_faults(each) if "--json" in line else []
        said = each.stderr.splitlines()
        if each.exit_code != 2:
            wrong.append(f"ends with {each.exit_code}")
        if not all(one.isprintable() and len(one) <= LONGEST for one in said):
            wrong.append("what a terminal obeys, or a line without end")
        if "Traceback" in each.stderr or not each.stdout + each.stderr:
            wrong.append("a traceback, or nothing")
        if wrong:
            found.append(f"{' '.join(line)!r:.100}: {wrong}: {each.stderr[-300:]!r}")
    return found
