"""The program that has an engine's parser read a command line; the engines' own are in the lab."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fortyninety.on_host import check_command_line

PROGRAM = check_command_line.__file__

# As small an engine as has what the program asks for: a parser, a check after it, its variables.
ENGINE = """
import argparse

class Parser(argparse.ArgumentParser):
    pass

def make_arg_parser(parser):
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("--model")
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--kv-cache-dtype", choices=["auto", "fp8"])
    parser.add_argument("--enable-log-requests", action="store_true")
    parser.add_argument("--tool", default="")
    return parser

def validate_parsed_serve_args(arguments):
    if arguments.tool == "auto":
        raise TypeError("--tool auto needs a parser")
"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    package = tmp_path / "vllm"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "envs.py").write_text(
        "environment_variables = {'VLLM_LOGGING_LEVEL': 0, 'VLLM_A': 0}"
    )
    (package / "cli.py").write_text(ENGINE)
    return tmp_path


def check(engine: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    parser = ("--parser-module", "vllm.cli", "--parser-class", "vllm.cli.Parser")
    return subprocess.run(
        [sys.executable, PROGRAM, *parser, "--", *arguments],
        env={"PYTHONPATH": str(engine), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_command_line_that_the_parser_takes_is_accepted_in_silence(engine: Path) -> None:
    checked = check(engine, "--model", "/srv/x", "--kv-cache-dtype", "fp8", VLLM_A="1")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-num-sequences", "4"], "the nearest it has is --max-num-seqs"),
        (["--disable-log-requests"], "the nearest it has is --enable-log-requests"),
        (["--swap-space=4"], "--swap-space: no such flag in this release; and none that is near"),
        (["--kv-cache-dtype", "fp9"], "--kv-cache-dtype: takes auto, fp8; the nearest is fp8"),
        (["--max-num-seqs", "many"], "invalid int value: 'many'"),
        (["--tool", "auto"], "--tool auto needs a parser"),
        (["--model", "/srv/x", "stray"], "stray belongs to no flag"),
    ],
)
def test_what_the_parser_refuses_is_said_with_what_is_near(
    engine: Path, arguments: list[str], said: str
) -> None:
    checked = check(engine, *arguments)
    assert checked.returncode == 1
    assert said in checked.stderr
    assert "usage:" not in checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_variable_that_the_release_does_not_read_is_refused(engine: Path) -> None:
    checked = check(engine, "--model", "x", VLLM_LOGING_LEVEL="INFO")
    assert checked.returncode == 1
    assert (
        "VLLM_LOGING_LEVEL: no such variable in this release; the nearest it has is VLLM_LOGGING"
        in checked.stderr
    )
