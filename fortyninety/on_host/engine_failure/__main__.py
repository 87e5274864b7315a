"""Read the command line."""

from __future__ import annotations

import argparse
import json
import sys

from fortyninety.on_host import engine_failure
from fortyninety.on_host.engine_failure.diagnosis import diagnosis
from fortyninety.on_host.engine_failure.journal import Unreadable
from fortyninety.on_host.engine_failure.own_unit import before, ending, notify


def main() -> int:
    """Read the command line and print the diagnosis."""
    parser = argparse.ArgumentParser(description=(engine_failure.__doc__ or "").partition("\n")[0])
    parser.add_argument("--unit", required=True, help="the engine's systemd unit")
    parser.add_argument(
        "--since", type=float, default=0.0, help="leave out starts that ended before, in seconds"
    )
    parser.add_argument("--ending", action="store_true", help="say why this start ended")
    parser.add_argument("--before", action="store_true", help="say why the start before ended")
    options = parser.parse_args()
    try:
        if options.ending:
            print("\n".join(ending(options.unit)))
            return 0
        if options.before:
            notify(before(options.unit))
            return 0
        found = diagnosis(options.unit, options.since)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
