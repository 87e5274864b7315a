#!/usr/bin/env python3
"""Ask the engine on this host for a completion: the one test of readiness that cannot lie.

/health answers 200 with a hung engine; a completion does not. Prints one JSON object: what was
answered, or why nothing was. Exit code 0 with a completion, 1 without one. With --wait and without
a completion it prints nothing but lines on standard error: the cause in the first one, then what to
do where that is known, then the command that shows the whole start. The cause is what the program
`engine-failure` beside this one finds. Whoever took the engine over may answer what he likes: an
answer is bounded in size and in time from its first byte to its last, typed, and printed without
control characters. Python 3.10, no packages.

    complete --port 8000 --model NAME              one attempt
    complete --port 8000 --model NAME --wait 1800 --unit vllm.service
                                                   until it answers, the unit fails, or time is up
    complete ... --unit vllm.service --headless    a member of a cell that answers nobody: what its
                                                   unit's status says of the head
    complete --port 8000 --progress METRIC,METRIC  the values of those metrics, as `progress`
"""

import argparse
import http.client
import json
import math
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

# Seconds that one request may take, to the last byte of its answer: an engine that needs longer for
# one token is hung.
REQUEST_TIMEOUT = 60.0
# Seconds without a completion from an engine that lists its models: it has read its weights by
# then, so that no longer wait would help. A third request that takes all its time is the last.
HUNG = 2 * REQUEST_TIMEOUT
TIMED_OUT = "timed out"
# What an engine counts that works on what others asked before.
WORKED = ["vllm:prompt_tokens_total", "vllm:generation_tokens_total"]
RETRY_INTERVAL = 1.0
TOKENS = 1
# Bytes of an answer: a completion of one token has 700, the metrics of 0.32.0 have 60,000 (both
# measured on the CPU build). Characters of it that are shown.
LONGEST_ANSWER = 4 * 1024 * 1024
LONGEST_SHOWN = 300
# Seconds for reading the journal, more than the program itself allows each of its questions.
DIAGNOSIS_TIMEOUT = 200
# What a request to a port that nobody listens on ends with.
REFUSED = "Connection refused"


class NoAnswer(Exception):
    """Why the engine's answer is none, in one printable line."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable(reason))


class Unaskable(Exception):
    """Why systemd cannot be asked, in one printable line."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable(reason))


class BoundedSocket(socket.socket):
    """A socket that reads until `deadline` (of the monotonic clock), however slowly bytes come."""

    deadline = 0.0

    def recv_into(self, *arguments: Any) -> int:
        """As a socket does. Raises TimeoutError once the deadline has passed."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(TIMED_OUT)
        self.settimeout(left)
        return super().recv_into(*arguments)


class Connection(http.client.HTTPConnection):
    """A connection to a port of loopback, straight and not through any proxy of the environment."""

    def connect(self) -> None:
        """Connect, and have everything end REQUEST_TIMEOUT seconds from now."""
        bounded = BoundedSocket(socket.AF_INET, socket.SOCK_STREAM)
        bounded.deadline = time.monotonic() + REQUEST_TIMEOUT
        bounded.settimeout(REQUEST_TIMEOUT)
        self.sock = bounded
        bounded.connect((self.host, self.port))


def printable(text: str) -> str:
    """Return `text` in one line that does nothing to a terminal, cut at LONGEST_SHOWN."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= LONGEST_SHOWN else f"{line[: LONGEST_SHOWN - 1]}…"


def request(port: int, path: str, body: dict[str, Any] | None = None) -> str:
    """Return the text of the engine's answer to a GET, or to a POST of `body`. Raises NoAnswer.

    No redirection is followed: it would be the engine that chooses where root asks.
    """
    connection = Connection("127.0.0.1", port)
    try:
        connection.request(
            "GET" if body is None else "POST",
            path,
            None if body is None else json.dumps(body),
            {"Content-Type": "application/json", "Connection": "close"},
        )
        response = connection.getresponse()
        content = response.read(LONGEST_ANSWER + 1)
        if response.status != 200:
            said = content[: 4 * LONGEST_SHOWN].decode(errors="replace")
            raise NoAnswer(f"HTTP {response.status}: {said}")
        if len(content) > LONGEST_ANSWER:
            raise NoAnswer(f"more than {LONGEST_ANSWER} bytes came from {path}")
        return content.decode()
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Some of the latter have no text but their name.
        raise NoAnswer(str(error) or type(error).__name__) from error
    finally:
        connection.close()


def asked(port: int, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON object that the engine answers with. Raises NoAnswer for anything else."""
    text = request(port, path, body)
    try:
        answer = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"{path} answered no JSON ({error}): {text[:LONGEST_SHOWN]}") from error
    if not isinstance(answer, dict):
        raise NoAnswer(f"{path} answered {text[:LONGEST_SHOWN]}; expected a JSON object")
    return answer


def shown(answer: dict[str, Any]) -> str:
    """Return an answer as text for an error; one that is nested too deep by its keys alone."""
    try:
        return json.dumps(answer)
    except RecursionError:
        return f"an object of {', '.join(answer)}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def served_names(answer: dict[str, Any]) -> list[str]:
    """Return the names of the models that an answer of /v1/models lists. Raises NoAnswer."""
    models = answer.get("data")
    if not isinstance(models, list):
        raise NoAnswer(f"/v1/models answered no list of models: {shown(answer)}")
    names = [each.get("id") if isinstance(each, dict) else None for each in models]
    return [name for name in names if isinstance(name, str)]


def completion(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the text and the number of tokens of a chat completion. Raises NoAnswer."""
    usage, choices = answer.get("usage"), answer.get("choices")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    # A bool is an int to Python.
    if type(tokens) is not int or tokens < 1:
        raise NoAnswer(f"an answer without tokens: {shown(answer)}")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str):
        raise NoAnswer(f"an answer without a text: {shown(answer)}")
    return {"answer": printable(text), "tokens": tokens}


def attempt(port: int, model: str) -> dict[str, Any]:
    """Ask for one completion: a dict with `answer` and `tokens`, or with `error`."""
    return tried(port, model)[0]


def tried(port: int, model: str) -> tuple[dict[str, Any], bool]:
    """Ask for one completion, as `attempt` does; also return whether it lists the model."""
    lists = False
    try:
        served = served_names(asked(port, "/v1/models"))
        if model not in served:
            raise NoAnswer(f"serves {', '.join(served) or 'no model'}; expected {model}")
        lists = True
        answer = asked(
            port,
            "/v1/chat/completions",
            {
                "model": model,
                "messages": [{"role": "user", "content": "Say hello."}],
                "max_tokens": TOKENS,
                "temperature": 0,
            },
        )
        return completion(answer), lists
    except NoAnswer as error:
        return {"error": str(error)}, lists


def progress(port: int, metrics: list[str]) -> dict[str, Any]:
    """Read metrics whose names begin so: a dict with their values as `progress`, or with `error`.

    What is not a finite number is left out.
    """
    try:
        lines = request(port, "/metrics").split("\n")
    except NoAnswer as error:
        return {"error": str(error)}
    values = []
    for line in lines:
        if line.startswith(tuple(metrics)):
            try:
                value = float(line.rpartition(" ")[2])
            except ValueError:
                continue
            if math.isfinite(value):
                values.append(value)
    return {"progress": values}


def properties(unit: str, *names: str) -> dict[str, str]:
    """Return what systemd says of a unit, every property of `names`. Raises Unaskable."""
    try:
        shown = subprocess.run(
            ["systemctl", "show", f"--property={','.join(names)}", unit],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=REQUEST_TIMEOUT,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Unaskable(str(error)) from error
    # Not splitlines(): a status may hold other characters that end a line to Python, and what comes
    # behind one would pass for a property of systemd's own.
    found = dict(line.split("=", 1) for line in shown.split("\n") if "=" in line)
    if missing := [name for name in names if name not in found]:
        raise Unaskable(f"systemctl show says no {', '.join(missing)} of {unit}")
    return found


def unit_state(unit: str) -> tuple[str, int]:
    """Return a unit's ActiveState and how often it ended since it was started by hand.

    Raises Unaskable.
    """
    values = properties(unit, "ActiveState", "SubState", "NRestarts")
    if not values["NRestarts"].isdecimal():
        raise Unaskable(f"NRestarts of {unit} is {values['NRestarts']!r}; expected a number")
    # One that waits for its restart has ended already; the restart is counted when it comes.
    waits = values["SubState"].startswith("auto-restart")
    return values["ActiveState"], int(values["NRestarts"]) + waits


def heads_answer(unit: str) -> dict[str, Any]:
    """Return what a headless member of a cell was told by its head: a dict as `attempt` gives.

    Raises Unaskable.
    """
    values = properties(unit, "ActiveState", "StatusText")
    status = printable(values["StatusText"])
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
            encoding="utf-8",
            errors="replace",
            timeout=DIAGNOSIS_TIMEOUT,
            check=True,
        )
        found = json.loads(done.stdout)
        if isinstance(found, dict) and isinstance(found.get("cause"), str):
            return {"state": "unknown", "remedy": None, "more": "", "notes": [], **found}
        reason = f"{program} prints {done.stdout[:100]!r}; expected a JSON object with the cause"
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split())[-300:]
    except (OSError, ValueError, subprocess.SubprocessError) as error:
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
    return [printable(each) for each in (first, *lines, f"More: {found['more']}", *found["notes"])]


def wait(options: argparse.Namespace) -> tuple[dict[str, Any], bool, float]:
    """Ask until there is an answer, the unit ends, the engine is found to hang, or time is up.

    Returns the last attempt, whether the unit ended, and the seconds that an engine had which hangs
    or was given all its time. Raises Unaskable.
    """
    began = time.monotonic()
    restarts = unit_state(options.unit)[1] if options.unit else 0
    listed_at, worked = math.inf, None
    while True:
        if options.headless:
            result, lists = heads_answer(options.unit), False
        else:
            result, lists = tried(options.port, options.model)
        if "answer" in result:
            return result, False, 0.0
        if options.unit:
            active, restarted = unit_state(options.unit)
            if active in ("failed", "inactive") or restarted > restarts + options.restarts:
                return result, True, 0.0
        now = time.monotonic()
        if lists:
            before, worked = worked, progress(options.port, WORKED).get("progress")
            # One that others keep busy answers them first.
            is_busy = worked != before and TIMED_OUT in result["error"]
            listed_at = now if is_busy else min(listed_at, now)
        else:
            listed_at = math.inf
        if now >= began + options.wait:
            return result, False, options.wait
        if now >= listed_at + HUNG:
            return result, False, now - began
        time.sleep(RETRY_INTERVAL)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", help="the served model's name")
    parser.add_argument("--wait", type=float, default=0, help="seconds to go on trying")
    parser.add_argument("--unit", help="give up as soon as this systemd unit fails or restarts")
    parser.add_argument("--restarts", type=int, default=0, help="restarts not to give up at")
    parser.add_argument("--headless", action="store_true", help="ask the unit what its head says")
    parser.add_argument("--progress", help="print metrics that begin so, with commas between")
    options = parser.parse_args()
    if options.progress is not None:
        values = progress(options.port, options.progress.split(","))
        print(json.dumps(values))
        return 0 if "progress" in values else 1
    if options.model is None:
        parser.error("the following arguments are required: --model")

    began = time.time()
    try:
        result, ended, waited = wait(options)
    except Unaskable as error:
        result, ended = {"error": f"systemd cannot be asked: {error}"}, False
        waited = options.wait
    if "error" in result and options.unit and options.wait:
        # Nothing on standard output: whoever reads both may get that one first.
        lines = report(options.unit, result["error"], waited, ended, began)
        print("\n".join(lines), file=sys.stderr)
    else:
        print(json.dumps(result))
    return 0 if "answer" in result else 1


if __name__ == "__main__":
    sys.exit(main())
