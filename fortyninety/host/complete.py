#!/usr/bin/env python3
"""Ask the engine on this host for a completion: the one test of readiness that cannot lie.

/health answers 200 with a hung engine; a completion does not. Prints one JSON object: what was
answered, or why nothing was. Exit code 0 with a completion, 1 without one. With --wait and without
a completion it prints nothing but lines on standard error: the cause in the first one, then what to
do where that is known, then the command that shows the whole start. The cause is what the program
`engine-failure` beside this one finds. Python 3.10, no packages.

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
from pathlib import Path
from typing import Any

# Seconds that one request may take: an engine that needs longer for one token is hung.
REQUEST_TIMEOUT = 60
RETRY_INTERVAL = 1.0
TOKENS = 1
# Seconds for reading the journal, more than the program itself allows each of its questions.
DIAGNOSIS_TIMEOUT = 200
# What a request to a port that nobody listens on ends with.
REFUSED = "Connection refused"


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


def properties(unit: str, *names: str) -> dict[str, str]:
    """Return what systemd says of a unit. Raises OSError or CalledProcessError where it cannot."""
    shown = subprocess.run(
        ["systemctl", "show", f"--property={','.join(names)}", unit],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split("=", 1) for line in shown.splitlines())


def unit_state(unit: str) -> tuple[str, int]:
    """Return a unit's ActiveState and how often it ended since it was started by hand."""
    values = properties(unit, "ActiveState", "SubState", "NRestarts")
    # One that waits for its restart has ended already; the restart is counted when it comes.
    waits = values["SubState"].startswith("auto-restart")
    return values["ActiveState"], int(values["NRestarts"]) + waits


def heads_answer(unit: str) -> dict[str, Any]:
    """What a headless member of a cell was told by its head: a dict as `attempt` gives."""
    values = properties(unit, "ActiveState", "StatusText")
    status = values["StatusText"]
    if values["ActiveState"] == "active" and status.endswith(": serving"):
        return {"answer": status, "tokens": 0}
    return {"error": status or f"{unit} is {values['ActiveState']}"}


def diagnosis(unit: str, since: float) -> dict[str, Any]:
    """Return what `engine-failure` finds, or the same keys with why it finds nothing."""
    program = Path(__file__).resolve().with_name("engine-failure")
    try:
        done = subprocess.run(
            [sys.executable, str(program), "--unit", unit, "--since", str(since)],
            capture_output=True,
            text=True,
            timeout=DIAGNOSIS_TIMEOUT,
            check=True,
        )
        found = json.loads(done.stdout)
        if isinstance(found, dict) and isinstance(found.get("cause"), str):
            return found
        reason = f"{program} prints {done.stdout[:100]!r}; expected a JSON object with the cause"
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split())[-300:]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    return {
        "state": "unknown",
        "cause": f"the cause could not be found ({reason})",
        "remedy": None,
        "more": f"journalctl --boot --unit={unit}",
        "notes": [],
    }


def report(unit: str, error: str, waited: float, ended: bool, since: float) -> list[str]:
    """Return the lines that say why there is no completion, the cause in the first of them.

    `error` is the last attempt's, `ended` whether the unit did not stay up, `waited` the seconds
    that were waited otherwise.
    """
    found = diagnosis(unit, since)
    lines = []
    if ended or found["state"] == "ended":
        first = f"{unit} does not stay up: {found['cause']}"
    elif REFUSED in error and found["state"] != "unknown":
        first = f"{unit} is still starting after {waited:.0f} s, its latest line: {found['cause']}"
        lines = ["If it makes progress, raise ready_timeout."]
    else:
        first = f"{unit} gives no completion after {waited:.0f} s: {error}"
        latest = "" if found["state"] == "unknown" else "Its latest line: "
        lines = [f"{latest}{found['cause']}"]
    if found["remedy"]:
        lines.append(found["remedy"])
    return [first, *lines, f"More: {found['more']}", *found["notes"]]


def wait(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Ask until there is an answer, the unit ends or time is up.

    Returns the last attempt, and whether the unit ended. Raises OSError or CalledProcessError where
    systemd cannot be asked.
    """
    deadline = time.monotonic() + options.wait
    restarts = unit_state(options.unit)[1] if options.unit else 0
    while True:
        if options.headless:
            result = heads_answer(options.unit)
        else:
            result = attempt(options.port, options.model)
        if "answer" in result:
            return result, False
        if options.unit:
            active, restarted = unit_state(options.unit)
            if active in ("failed", "inactive") or restarted > restarts + options.restarts:
                return result, True
        if time.monotonic() >= deadline:
            return result, False
        time.sleep(RETRY_INTERVAL)


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

    began = time.time()
    try:
        result, ended = wait(options)
    except (OSError, subprocess.CalledProcessError) as error:
        result, ended = {"error": f"systemd cannot be asked: {error}"}, False
    if "error" in result and options.unit and options.wait:
        # Nothing on standard output: whoever reads both may get that one first.
        lines = report(options.unit, result["error"], options.wait, ended, began)
        print("\n".join(lines), file=sys.stderr)
    else:
        print(json.dumps(result))
    return 0 if "answer" in result else 1


if __name__ == "__main__":
    sys.exit(main())
