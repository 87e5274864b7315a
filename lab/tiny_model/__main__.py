"""`python -m lab.tiny_model --output DIR`: put the tiny model into a hub's folder."""

import argparse
from pathlib import Path

from lab.tiny_model.repository import write_repository


def main() -> None:
    """Write the repository below the folder given and print where it went."""
    parser = argparse.ArgumentParser(prog="python -m lab.tiny_model", description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the hub's folder; the repository becomes ORGANISATION/NAME inside it",
    )
    print(write_repository(parser.parse_args().output))


if __name__ == "__main__":
    main()
