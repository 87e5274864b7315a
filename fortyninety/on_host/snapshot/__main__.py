"""The command line: a step of a deploy, or `verify`."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fortyninety.on_host import snapshot
from fortyninety.on_host.checkpoint_files import FileListError, parse_files
from fortyninety.on_host.snapshot.copy import copy
from fortyninety.on_host.snapshot.failures import Failure
from fortyninety.on_host.snapshot.fetch import fetch
from fortyninety.on_host.snapshot.lock import alone
from fortyninety.on_host.snapshot.places import open_model, opened, revision_of
from fortyninety.on_host.snapshot.present import inspect
from fortyninety.on_host.snapshot.publish import publish
from fortyninety.on_host.snapshot.reader import read
from fortyninety.on_host.snapshot.serve import keep_serving, serve, stop_serving
from fortyninety.on_host.snapshot.verify import verify

STEPS = ("inspect", "fetch", "publish", "copy", "serve", "keep-serving", "stop-serving")
# A request with the longest list of files that the parser takes, in bytes.
LONGEST_REQUEST = 32 * 10**6


def step(command: str, request: dict[str, Any]) -> dict[str, Any]:
    """One step of a deploy. Raises Failure, and FileListError."""
    elsewhere: dict[str, Callable[[], dict[str, Any]]] = {
        "copy": lambda: copy(Path(request["published"]), Path(request["second_copy"])),
        "serve": lambda: _serve(request),
        "keep-serving": keep_serving,
        "stop-serving": stop_serving,
    }
    if command in elsewhere:
        return elsewhere[command]()
    files = parse_files(request.get("files"))
    revision = revision_of(request.get("revision"))
    second_copy = request.get("second_copy")
    with (
        open_model(request.get("directory")) as model,
        alone(model, revision),
        opened(model, revision) as places,
    ):
        if command == "inspect":
            return inspect(places, files, Path(second_copy) if second_copy else None)
        if command == "fetch":
            return fetch(places, files, request)
        return publish(places, files)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    revision = revision_of(request.get("revision"))
    with open_model(request.get("directory")) as model:
        if not request.get("whole"):
            # A host that has nothing yet gives what it will have.
            with model.make(f".partial-{revision}"):
                pass
        return serve(model.path, revision, request)


def _request() -> dict[str, Any]:
    """The object on standard input. Raises Failure where there is none."""
    text = sys.stdin.buffer.read(LONGEST_REQUEST + 1)
    if len(text) > LONGEST_REQUEST:
        raise Failure(f"the request has more than {LONGEST_REQUEST} bytes")
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Failure("the request is not JSON") from error
    if not isinstance(request, dict):
        raise Failure("the request is not a JSON object")
    return request


def main() -> int:
    """The command line. See the package's own text for the exit codes."""
    if sys.argv[1:] == ["read"]:
        return read()
    parser = argparse.ArgumentParser(
        description=snapshot.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=(*STEPS, "verify"))
    parser.add_argument("folder", nargs="?", type=Path, help="for verify: the published snapshot")
    options = parser.parse_args()
    os.umask(0o022)
    # Ended by the next run, or by hand: what is running below ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if options.command == "verify":
            if options.folder is None:
                parser.error("verify needs the folder of a published snapshot")
            result = verify(options.folder)
            print(json.dumps(result))
            return 1 if result["wrong"] else 0
        print(json.dumps(step(options.command, _request())))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    except (FileListError, KeyError, TypeError) as error:
        print(f"this request cannot be used: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"this host: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
