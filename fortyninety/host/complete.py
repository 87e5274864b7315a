#!/usr/bin/env python3
"""Ask the engine on this host for a completion: the one test of readiness that cannot lie.

/health answers 200 with a hung engine; a completion does not. Prints one JSON object: what was
answered, or why nothing was. Exit code 0 with a completion, 1 without one. Python 3.11, no
packages.

    complete --port 8000 --model NAME              one attempt
    complete --port 8000 --model NAME --wait 1800 --unit vllm.service
                                                   until it answers, the unit fails, or time is up
    complete ... --unit vllm.service --headless    a member of a cell that answers nobody: what its
                                                   unit's status says of the head
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

# Seconds that one request may take: an engine that needs longer for one token is hung.
REQUEST_TIMEOUT = 60
RETRY_INTERVAL = 1.0
TOKENS = 1


def request(port: int, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the engine answers to a GET, or to a POST of `body`."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    # Straight to loopback: a proxy from the environment has no place here.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://127.0.0.1:{port}{path}"
    with opener.open(
        urllib.request.Request(url, data, headers), timeout=REQUEST_TIMEOUT
    ) as response:
        return json.load(response)


def attempt(port: int, model: str) -> dict[str, Any]:
    """One completion: a dict with `answer` and `tokens`, or with `error`."""
    try:
        served = [each["id"] for each in request(port, "/v1/models")["data"]]
        if model not in served:
            return {"error": f"serves {', '.join(served)}; expected {model}"}
        answer = request(
            port,
            "/v1/chat/completions",
            {
                "model": model,
                "messages": [{"role": "user", "content": "Say hello."}],
                "max_tokens": TOKENS,
                "temperature": 0,
            },
        )
    except urllib.error.HTTPError as error:
        return {"error": f"HTTP {error.code}: {error.read(500).decode(errors='replace')}"}
    except (OSError, ValueError, KeyError) as error:
        return {"error": str(error) or type(error).__name__}
    tokens = answer.get("usage", {}).get("completion_tokens", 0)
    if tokens < 1:
        return {"error": f"an answer without tokens: {json.dumps(answer)[:500]}"}
    return {"answer": answer["choices"][0]["message"]["content"], "tokens": tokens}


def unit_state(unit: str) -> tuple[str, int]:
    """A systemd unit's ActiveState and how often it was restarted since it was started by hand."""
    shown = subprocess.run(
        ["systemctl", "show", "--property=ActiveState,NRestarts", unit],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines())
    return values["ActiveState"], int(values["NRestarts"])


def heads_answer(unit: str) -> dict[str, Any]:
    """What a headless member of a cell was told by its head: a dict as `attempt` gives."""
    shown = subprocess.run(
        ["systemctl", "show", "--property=ActiveState,StatusText", unit],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines())
    status = values["StatusText"]
    if values["ActiveState"] == "active" and status.endswith(": serving"):
        return {"answer": status, "tokens": 0}
    return {"error": status or f"{unit} is {values['ActiveState']}"}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True, help="the served model's name")
    parser.add_argument("--wait", type=float, default=0, help="seconds to go on trying")
    parser.add_argument("--unit", help="give up as soon as this systemd unit fails or restarts")
    parser.add_argument("--restarts", type=int, default=0, help="restarts not to give up at")
    parser.add_argument("--headless", action="store_true", help="ask the unit what its head says")
    options = parser.parse_args()

    deadline = time.monotonic() + options.wait
    restarts = unit_state(options.unit)[1] if options.unit else 0
    while True:
        if options.headless:
            result = heads_answer(options.unit)
        else:
            result = attempt(options.port, options.model)
        if "answer" in result:
            break
        if options.unit:
            active, restarted = unit_state(options.unit)
            if active in ("failed", "inactive") or restarted > restarts + options.restarts:
                result["error"] = f"{options.unit} does not stay up: {result['error']}"
                break
        if time.monotonic() >= deadline:
            break
        time.sleep(RETRY_INTERVAL)
    print(json.dumps(result))
    if "error" in result and options.unit:
        journal = ["journalctl", "--unit", options.unit, "--lines=40", "--output=cat"]
        sys.stdout.flush()
        subprocess.run(journal, stdout=sys.stderr, check=False)
    return 0 if "answer" in result else 1


if __name__ == "__main__":
    sys.exit(main())
