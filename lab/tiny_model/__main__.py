"""`python -m lab.tiny_model --output DIR`: put the tiny models into a hub's folder."""

import argparse
from pathlib import Path

from lab.tiny_model.models import MODELS
from lab.tiny_model.repository import write_repository


def main() -> None:
    """Write the repositories below the folder given and print where they went."""
    parser = argparse.ArgumentParser(prog="python -m lab.tiny_model", description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the hub's folder; each repository becomes ORGANISATION/NAME inside it",
    )
    output = parser.parse_args().output
    for model in MODELS.values():
        print(write_repository(output, model))


if __name__ == "__main__":
    main()
