"""What a setting says reaches the engine as it is: no word of it is an order to systemd."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fortyninety.cell.membership import Membership
from fortyninety.plan.plan import Plan, make_plan
from fortyninety.plan.unit import service_unit
from fortyninety.plan.unit_quoting import unit_assignment, unit_command, unit_text
from fortyninety.releases.release import known_releases, load_release
from tests.unit.plan import systemd_reader
from tests.unit.readings import RTX_4090, bare_host, settings

PROGRAM = "/opt/x/bin/python"
# All that systemd reads otherwise than as it stands, and some that it does not.
LETTERS = "ab#;%${}\"'\\ =-@+!:|/~*?[]()<>&,.0iné"
ODD_WORDS = (
    *(
        "#x",
        ";",
        "; ",
        "#",
        "$HOME",
        "${HOME}",
        "$$",
        "$",
        "%",
        "%i",
        "%%",
        "%n",
        "50%",
        "\\",
        "\\\\",
    ),
    *('"', "'", '""', "-x", "@x", "+x", "!x", "!!x", ":x", "|x", " ", "a b", " a", "a ", "\\;"),
    *("\\x41", "\\n", "a\\", "ExecStart=/bin/sh", "[Install]", "a=b", "~", "*", "{", "é", "😀"),
    "say \"hi\" to 'them'",
    '{"chat_template": "$a %b \\n"}',
    "x" * 4000,
)


def plan(release: str = "0.8.5.post1", cell: Membership | None = None, **changes: Any) -> Plan:
    reading = bare_host(cards__devices=[RTX_4090] * 2, network__addresses={"192.0.2.1": "eth0"})
    return make_plan(settings(engine=release, **changes), load_release(release), reading, cell)


def commands(unit: str) -> list[list[str]]:
    (value,) = systemd_reader.values(unit, "ExecStart")
    return systemd_reader.commands(value)


@pytest.mark.parametrize("word", ["", *ODD_WORDS])
def test_systemd_gives_the_program_the_very_word(word: str) -> None:
    lines = " \\\n    ".join(unit_command([PROGRAM, "first", word, "last"]))
    assert commands(f"ExecStart={lines}\nRestart=always\n") == [[PROGRAM, "first", word, "last"]]


def test_systemd_gives_the_program_any_words() -> None:
    random_ = random.Random(13)
    for _ in range(2000):
        words = [
            "".join(random_.choices(LETTERS, k=random_.randrange(8)))
            for _ in range(random_.randrange(1, 6))
        ]
        lines = " \\\n    ".join(unit_command([PROGRAM, *words]))
        text = f"[Service]\nExecStart={lines}\nRestart=always\n"
        assert commands(text) == [[PROGRAM, *words]]
        assert systemd_reader.values(text, "Restart") == ["always"]
        assigned = f"Environment={unit_assignment('NAME', words[0])}\n"
        assert systemd_reader.environment(assigned) == {"NAME": words[0]}
        described = f"Description=x {unit_text(words[0])}\nAfter=y\n"
        assert systemd_reader.values(described, "After") == ["y"]
        shown = systemd_reader.description(described)
        assert shown == f"x {words[0].rstrip(chr(92) + ' ')}".rstrip()


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "\t", "\x1b", "\x7f", "\u2028", "\ud800"])
def test_what_no_unit_can_hold_is_refused(text: str) -> None:
    for write in (
        lambda: unit_command([PROGRAM, text]),
        lambda: unit_assignment("NAME", text),
        lambda: unit_text(text),
    ):
        with pytest.raises(ValueError, match="cannot be in a unit"):
            write()


def test_systemd_takes_no_line_with_unicodes_non_characters() -> None:
    for character in ("\ufdd0", "\ufdef", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff"):
        with pytest.raises(ValueError, match="cannot be in a unit"):
            unit_command([PROGRAM, character])


@pytest.mark.parametrize(
    "program", ["python", "-/bin/x", "@/bin/x", "/bin/a b", "/bin/$x", "/", ""]
)
def test_a_program_is_its_full_path_and_no_order_to_systemd(program: str) -> None:
    with pytest.raises(ValueError, match="no full path"):
        unit_command([program])


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A=B", "A\nB", "A B"])
def test_a_variable_has_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        unit_assignment(name, "x")


@pytest.mark.parametrize("release", known_releases())
def test_the_unit_gives_the_engine_the_words_that_its_parser_was_asked_about(release: str) -> None:
    made = plan(
        release,
        engine_arguments=list(ODD_WORDS)[:-1],
        listen_address="0.0.0.0",
        served_model_name="#x%i$HOME;\\",
    )
    unit = service_unit(made)
    (words,) = commands(unit)
    assert tuple(words) == made.command
    assert tuple(words[-len(made.arguments) :]) == made.arguments
    set_ = systemd_reader.environment(unit)
    assert set_.items() >= dict(made.environment).items()
    assert systemd_reader.description(unit) == "vLLM serving #x%i$HOME;"
    assert systemd_reader.values(unit, "User") == ["vllm"]
    assert len(systemd_reader.values(unit, "ExecStopPost")) == 1


def test_a_members_interface_of_any_name_is_its_interface() -> None:
    """Linux takes all but a blank and a slash in it."""
    reading = bare_host(cards__devices=[RTX_4090], network__addresses={"192.0.2.1": 'e"$%\\#;'})
    place = Membership("a", ("192.0.2.1", "192.0.2.2"), 0, 29500)
    made = make_plan(settings(engine="0.32.0"), load_release("0.32.0"), reading, place)
    assert systemd_reader.environment(service_unit(made))["NCCL_SOCKET_IFNAME"] == 'e"$%\\#;'


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_itself_finds_no_fault_with_the_oddest_unit(tmp_path: Path) -> None:
    lines = " \\\n    ".join(unit_command(["/bin/true", *ODD_WORDS]))
    unit = tmp_path / "odd.service"
    unit.write_text(
        f"[Unit]\nDescription={unit_text(''.join(ODD_WORDS))}\n[Service]\n"
        f"Environment={unit_assignment('A', ' '.join(ODD_WORDS))}\nExecStart={lines}\n"
    )
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "odd.service" not in checked.stderr, checked.stderr
