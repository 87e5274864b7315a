"""Read the defaults of group_data/all.py without a pyinfra run."""

from __future__ import annotations

import runpy
from functools import cache
from typing import Any

from fortyninety.checkout import ROOT

ALL = ROOT / "group_data" / "all.py"


@cache
def default_settings() -> dict[str, Any]:
    """Every setting of group_data/all.py with its default, as pyinfra reads them."""
    return {
        key: value for key, value in runpy.run_path(str(ALL)).items() if not key.startswith("__")
    }


def default_setting(key: str) -> Any:
    """The default of one setting. Raises KeyError for one that is not there."""
    return default_settings()[key]
