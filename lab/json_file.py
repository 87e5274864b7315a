"""Write what others read meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(file: Path, values: dict[str, Any]) -> None:
    """Put a JSON object into a file, by a rename."""
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(values, indent=2) + "\n")
    unfinished.rename(file)
