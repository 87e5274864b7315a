#!/usr/bin/env python3
"""Have an engine release read its own command line, without starting it.

Runs in the release's environment, so that the very parser which will read the unit's arguments
reads them now. Exit code 0 where it takes them; 1 with the engine's own message, the flag, and the
nearest that the release knows, on standard error. Variables of the environment that begin with
VLLM_ must be known to the release as well.

    python check-command-line --parser-module vllm.entrypoints.openai.cli_args \\
        --parser-class vllm.utils.FlexibleArgumentParser -- --model /srv/models/x --port 8000
"""

import argparse
import difflib
import importlib
import os
import re
import sys
import tempfile
from typing import Any, NoReturn

OPTION = re.compile(r"--[A-Za-z0-9][A-Za-z0-9-]*")


class Refusal(Exception):
    """What the engine says against its command line."""


def load(path: str) -> Any:
    """What a dotted path names: a module's attribute."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def read(arguments: list[str], module_name: str, class_path: str) -> argparse.ArgumentParser:
    """The release's parser, after it took the arguments. Raises Refusal with `args` (message,
    parser)."""
    module = importlib.import_module(module_name)
    parser: argparse.ArgumentParser = module.make_arg_parser(load(class_path)())

    def refuse(message: str) -> NoReturn:
        raise Refusal(message, parser)

    # Its own way would print a whole page of usage and end the process.
    parser.error = refuse  # type: ignore[method-assign]
    try:
        parsed = parser.parse_args(arguments)
        module.validate_parsed_serve_args(parsed)
        # A word that belongs to no flag is the model to later releases, and wins over --model.
        if (stray := getattr(parsed, "model_tag", None)) is not None:
            raise ValueError(f"{stray} belongs to no flag")
    except (ValueError, TypeError, argparse.ArgumentError) as error:
        raise Refusal(str(error), parser) from error
    return parser


def advice(message: str, parser: argparse.ArgumentParser) -> list[str]:
    """For each flag that the message is about, the nearest spelling or value of this release."""
    known = parser._option_string_actions
    lines = []
    for flag in dict.fromkeys(OPTION.findall(message.partition("choose from")[0])):
        if flag not in known:
            near = difflib.get_close_matches(flag, known, n=1)
            nearest = f"the nearest it has is {near[0]}" if near else "and none that is near"
            lines.append(f"{flag}: no such flag in this release; {nearest}")
        elif choices := [str(each) for each in known[flag].choices or ()]:
            wrong = re.search(r"invalid choice: '?([^' ]+)", message)
            near = difflib.get_close_matches(wrong[1], choices, n=1) if wrong else []
            hint = f"; the nearest is {near[0]}" if near else ""
            lines.append(f"{flag}: takes {', '.join(choices)}{hint}")
        break
    return lines


def unknown_variables() -> list[str]:
    """A line for each VLLM_ variable that this release does not read."""
    envs = importlib.import_module("vllm.envs")
    known = list(envs.environment_variables)
    lines = []
    for name in os.environ:
        if name.startswith("VLLM_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            lines.append(
                f"{name}: no such variable in this release"
                + (f"; the nearest it has is {near[0]}" if near else "")
            )
    return lines


def main() -> int:
    """The command line. Exit code 0 where the release takes it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parser-module", required=True)
    parser.add_argument("--parser-class", required=True)
    parser.add_argument("arguments", nargs="*", help="after --: what the engine is to be given")
    options = parser.parse_args()
    # The engine writes caches and settings into its home as it is imported.
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, XDG_CACHE_HOME=home, XDG_CONFIG_HOME=home)
        os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
        wrong = unknown_variables()
        try:
            read(options.arguments, options.parser_module, options.parser_class)
        except Refusal as refusal:
            message, engines_parser = refusal.args
            wrong = [message, *advice(message, engines_parser), *wrong]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
