"""The command line: a step of a deploy, or `verify`."""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fortyninety.host import snapshot
from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.copy import copy
from fortyninety.host.snapshot.failures import Failure
from fortyninety.host.snapshot.fetch import fetch
from fortyninety.host.snapshot.index import index
from fortyninety.host.snapshot.lock import alone
from fortyninety.host.snapshot.places import Places, make_folders
from fortyninety.host.snapshot.present import inspect
from fortyninety.host.snapshot.publish import publish
from fortyninety.host.snapshot.serve import keep_serving, serve, stop_serving
from fortyninety.host.snapshot.verify import verify


def step(command: str, request: dict[str, Any]) -> dict[str, Any]:
    """One step of a deploy. Raises Failure."""
    elsewhere: dict[str, Callable[[], dict[str, Any]]] = {
        "index": lambda: index(request["source"]),
        "copy": lambda: copy(Path(request["published"]), Path(request["second_copy"])),
        "serve": lambda: serve(places_of(request), request),
        "keep-serving": keep_serving,
        "stop-serving": stop_serving,
    }
    if command in elsewhere:
        return elsewhere[command]()
    places = places_of(request)
    files = [File(**each) for each in request["files"]]
    make_folders(places)
    with alone(places):
        if command == "inspect":
            second_copy = request.get("second_copy")
            return inspect(places, files, Path(second_copy) if second_copy else None)
        if command == "fetch":
            return fetch(places, files, request["source"])
        return publish(places, files)


def places_of(request: dict[str, Any]) -> Places:
    """Where the request's commit is."""
    return Places(Path(request["directory"]), request["revision"])


STEPS = ("index", "inspect", "fetch", "publish", "copy", "serve", "keep-serving", "stop-serving")


def main() -> int:
    """The command line. See the package's own text for the exit codes."""
    parser = argparse.ArgumentParser(
        description=snapshot.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=(*STEPS, "verify"))
    parser.add_argument("folder", nargs="?", type=Path, help="for verify: the published snapshot")
    options = parser.parse_args()
    # Ended by the next run, or by hand: what is running below ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if options.command == "verify":
            if options.folder is None:
                parser.error("verify needs the folder of a published snapshot")
            result = verify(options.folder)
            print(json.dumps(result))
            return 1 if result["wrong"] else 0
        print(json.dumps(step(options.command, json.load(sys.stdin))))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    except OSError as error:
        print(f"this host: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
