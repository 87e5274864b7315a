"""Looking at the cards while the engine works."""

from __future__ import annotations

import json
import shlex

from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.on_host import FOLDER

# Seconds between two looks.
BETWEEN_LOOKS = 0.5


def cards_under_load(host: Host, settings: Settings) -> list[list[str]]:
    """Index, draw, cap and temperature of the cards, five times while four readers are answered.

    Fails where they are not, or no card is shown: cards without a load say nothing of one.
    """
    watch = (
        "for i in 1 2 3 4 5; do nvidia-smi --query-gpu=index,power.draw,power.limit,"
        f"temperature.gpu --format=csv,noheader,nounits; sleep {BETWEEN_LOOKS}; done"
    )
    body = {"model": settings.model_name, "prompt": "Colours:", "max_tokens": 128}
    source = (FOLDER / "ask.py").read_text()
    url = f"http://127.0.0.1:{settings.port}/v1/completions"
    asking = f"python3 -I -c {shlex.quote(source)} {url} {shlex.quote(json.dumps(body))} 4 60"
    # What the engine says comes last, whichever of the two is over first.
    shown = host.check_output(f"{{ {watch}; }} & said=$({asking}); wait; printf '%s\\n' \"$said\"")
    lines = shown.splitlines()
    said = lines.pop() if lines and lines[-1].startswith("[") else '[{"error": "none"}]'
    errors = [each["error"] for each in json.loads(said) if each["error"]]
    assert not errors, (
        f"the cards had no load, for an answer is: {errors[0]}; expected four answers. Look at "
        "`journalctl -u vllm.service`"
    )
    assert lines, "nvidia-smi shows no card under load; expected every card. Run it by hand"
    return [[each.strip() for each in line.split(",")] for line in lines]
