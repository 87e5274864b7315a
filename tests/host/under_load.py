"""Looking at the cards while the engine works."""

from __future__ import annotations

import json
import shlex

from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.on_host import FOLDER

# Seconds between two looks.
BETWEEN_LOOKS = 0.5
# How often four readers are asked for at most.
ROUNDS = 20


def cards_under_load(host: Host, settings: Settings) -> list[list[str]]:
    """Index, draw, cap and temperature of the cards, five times; four readers are served meanwhile.

    Fails where they are not, or no card is shown: cards without a load say nothing of one. The same
    four are served once before: an engine compiles kernels for what it is asked for the first time,
    and its cards do nothing meanwhile.
    """
    watch = (
        "for i in 1 2 3 4 5; do nvidia-smi --query-gpu=index,power.draw,power.limit,"
        f"temperature.gpu --format=csv,noheader,nounits; sleep {BETWEEN_LOOKS}; done"
    )
    body = {"model": settings.model_name, "prompt": "Colours:", "max_tokens": 128}
    source = (FOLDER / "ask.py").read_text()
    url = f"http://127.0.0.1:{settings.port}/v1/completions"
    asking = f"python3 -I -c {shlex.quote(source)} {url} {shlex.quote(json.dumps(body))} 4 60"
    # A fast card is done before the looks are: it is asked again until they are over.
    shown = host.check_output(
        f'set -- "$({asking})"; {{ {watch}; }} & looking=$!; for round in $(seq {ROUNDS}); do '
        f'set -- "$@" "$({asking})"; kill -0 $looking 2>/dev/null || break; done; wait; '
        "printf '%s\\n' \"$@\""
    )
    said = [line for line in shown.splitlines() if line.startswith("[")]
    lines = [line for line in shown.splitlines() if line and not line.startswith("[")]
    answers = [each for line in said for each in json.loads(line)]
    errors = [each["error"] for each in answers if each["error"]] if answers else ["none"]
    assert not errors, (
        f"the cards had no load, for an answer is: {errors[0]}; expected four answers. Look at "
        "`journalctl -u vllm.service`"
    )
    assert lines, "nvidia-smi shows no card under load; expected every card. Run it by hand"
    return [[each.strip() for each in line.split(",")] for line in lines]
