"""`python -m lab.hub`: serve a folder of repositories until told to stop."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from lab.hub.access_log import AccessLog
from lab.hub.server import HubServer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.hub", description=__doc__)
    parser.add_argument(
        "--root", type=Path, required=True, help="the folder that holds ORGANISATION/NAME folders"
    )
    parser.add_argument("--bind", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, required=True, help="the port; 0 takes a free one")
    parser.add_argument(
        "--access-log", type=Path, required=True, help="the file that gets one line a request"
    )
    parser.add_argument(
        "--bytes-per-second", type=int, help="how fast a connection may be; default: no limit"
    )
    return parser.parse_args()


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> None:
    """Listen, say where on standard output, and serve until SIGTERM or SIGINT."""
    arguments = _arguments()
    if not arguments.root.is_dir():
        sys.exit(f"{arguments.root} is not a folder; make one with python -m lab.tiny_model")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    with HubServer(
        (arguments.bind, arguments.port),
        arguments.root,
        AccessLog(arguments.access_log),
        arguments.bytes_per_second,
    ) as server:
        print(f"serving on http://{arguments.bind}:{server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
