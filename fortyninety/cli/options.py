"""The options and arguments that several commands have, spelled once."""

from __future__ import annotations

import click

from fortyninety.cli.envelope import JSON_OPTION
from fortyninety.cli.inventory_file import InventoryFile

INVENTORY = click.argument("inventory", type=InventoryFile())
LIMIT_HELP = "Only these; repeatable."
LIMIT = click.option("--limit", multiple=True, metavar="HOST_OR_GROUP", help=LIMIT_HELP)
AS_JSON = click.option(JSON_OPTION, "as_json", is_flag=True, help="Print one JSON object.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")
