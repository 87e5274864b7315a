"""Ask from this host whether addresses answer, through whatever proxy it has set up.

    python3 - hub=https://hub.example/api index=

Prints one JSON object: of each name a list of {"address", "status", "error"}. An empty address is
the package index that this host's own pip and uv use. Changes nothing.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

# Seconds for an address to answer, and until those that did not are given up.
PATIENCE = 10
DEADLINE = 25
PUBLIC_INDEX = "https://pypi.org/simple"
# A package that a deploy installs: an index that has it is one.
PACKAGE = "uv"


def pip_index() -> str:
    """The index of pip's own configuration."""
    home = Path.home()
    files = [
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        home / ".config" / "pip" / "pip.conf",
        Path(os.environ.get("PIP_CONFIG_FILE", os.devnull)),
    ]
    parser = configparser.RawConfigParser(strict=False)
    found = PUBLIC_INDEX
    for file in files:
        try:
            parser.read(file)
        except (OSError, UnicodeError, configparser.Error):
            continue
    for section in ("global", "install"):
        found = parser.get(section, "index-url", fallback=found)
    return os.environ.get("PIP_INDEX_URL") or found


def uv_index() -> str:
    """The index of uv's own configuration."""
    found = PUBLIC_INDEX
    for file in (Path("/etc/uv/uv.toml"), Path.home() / ".config" / "uv" / "uv.toml"):
        try:
            text = file.read_text()
        except (OSError, UnicodeError):
            continue
        if named := re.search(r'^\s*(?:index-url|url)\s*=\s*"([^"]+)"', text, re.MULTILINE):
            found = named[1]
    return os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or found


def ask(address: str) -> tuple[int | None, str]:
    """The status of an address, or why there is none."""
    request = urllib.request.Request(address, headers={"User-Agent": "fortyninety"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, ValueError) as error:
        return None, str(getattr(error, "reason", None) or error)[:300]
    except Exception as error:
        # What a server that speaks something else makes of the parser.
        return None, repr(error)[:300]


def shown(address: str) -> str:
    """The address without a user and a password."""
    return re.sub(r"//[^/@]*@", "//", address)


def main(arguments: list[str]) -> None:
    """Ask every address at once, and print what came within the deadline."""
    asked: list[tuple[str, str]] = []
    for argument in arguments:
        name, _, address = argument.partition("=")
        own = [] if address else dict.fromkeys((pip_index(), uv_index()))
        asked += [(name, each) for each in own or [address]]
    answers: dict[int, tuple[int | None, str]] = {}

    def keep(number: int, name: str, address: str) -> None:
        page = f"{address.rstrip('/')}/{PACKAGE}/" if name == "index" else address
        answers[number] = ask(page)

    threads = [
        threading.Thread(target=keep, args=(number, *each), daemon=True)
        for number, each in enumerate(asked)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + DEADLINE
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))
    found: dict[str, list[dict[str, object]]] = {}
    for number, (name, address) in enumerate(asked):
        status, error = answers.get(number, (None, f"no answer in {DEADLINE} s"))
        found.setdefault(name, []).append(
            {"address": shown(address), "status": status, "error": error}
        )
    print(json.dumps(found), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
