"""Read the command line.

Progress is on standard error; the last line of standard output is one object of JSON: `drained`,
`in_force` (whether a gateway runs and follows), and what is `open`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from fortyninety.on_host import drain
from fortyninety.on_host.drain.box import Box
from fortyninety.on_host.drain.state import OF_DEPLOY
from fortyninety.on_host.drain.streams import look, wait
from fortyninety.on_host.drain.timer import Timer, TimerUnusable
from fortyninety.on_host.gateway_control import DRAINED, NotInForce

VERBS = ("begin", "wait", "end", "status", "expire")


def main() -> int:
    """Do what the first word says."""
    options = _options()
    box = Box(
        options.folder,
        options.control,
        options.state,
        Timer(options.units, Path(sys.argv[0]).resolve()),
    )
    if not (box.folder / "haproxy.cfg").exists():
        print("there is no gateway here, so that there is nothing to drain", file=sys.stderr)
        return 1
    try:
        in_force = _do(box, options)
    except NotInForce as error:
        print(
            "the gateway cannot be told: it may be of an older deploy, and the next one mends that "
            f"({error})",
            file=sys.stderr,
        )
        # A deploy goes on: the engine's unit has new requests wait too, if for less long.
        return 0 if options.of_deploy else 1
    except (OSError, ValueError, TimerUnusable) as error:
        print(error, file=sys.stderr)
        return 1
    if options.verb == "expire":
        return 0
    ask = partial(look, box.control_socket, options.engine_port)
    if options.verb in ("begin", "wait") and options.wait > 0:
        found = wait(ask, options.wait, lambda line: print(line, file=sys.stderr, flush=True))
    else:
        found = ask()
    drained = box.drained()
    answer = {
        "drained": None if drained is None else asdict(drained),
        "in_force": in_force,
        "open": asdict(found),
    }
    print(json.dumps(answer))
    return 0


def _do(box: Box, options: argparse.Namespace) -> bool:
    if options.verb == "begin":
        by = f"{OF_DEPLOY}{options.by}" if options.of_deploy else options.by
        return box.drain(options.reason, by, options.seconds)
    if options.verb == "end":
        if not options.of_deploy:
            return box.serve()
        box.serve_after_a_deploy()
    if options.verb == "expire":
        box.expire()
    return box.control_socket.exists()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(drain.__doc__ or "").partition("\n")[0])
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--reason", default="")
    parser.add_argument("--by", default="")
    parser.add_argument("--of-deploy", action="store_true", help="by a deploy, which ends it")
    parser.add_argument("--seconds", type=int, default=0, help="until it ends by itself")
    parser.add_argument("--wait", type=float, default=0, help="seconds for what is under way")
    parser.add_argument("--engine-port", type=int, default=8000)
    parser.add_argument("--folder", type=Path, default=Path("/etc/fortyninety/gateway"))
    parser.add_argument(
        "--control", type=Path, default=Path("/run/fortyninety-gateway/control.sock")
    )
    parser.add_argument("--state", type=Path, default=DRAINED)
    parser.add_argument("--units", type=Path, default=Path("/etc/systemd/system"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
