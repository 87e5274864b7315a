"""Ask a URL: by GET, or several times at once by POST where there is a body. Never by a proxy.

A prompt that is a number stands for as many tokens, drawn anew each time: a long prompt would be no
argument, and a cached one would not be read.
"""

import http.client
import json
import random
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

# Bytes of an answer that are read: whoever has the engine may send without end.
LONGEST = 16 * 1024 * 1024


class Straight(urllib.request.HTTPRedirectHandler):
    """No redirection: it would be the engine that chooses where root asks."""

    def redirect_request(self, *_: object) -> None:
        return None


def said(refused: urllib.error.HTTPError) -> str:
    """The beginning of what came with an error, as far as it came."""
    try:
        return refused.read(200).decode(errors="replace")
    except (OSError, http.client.HTTPException, ValueError):
        return ""


def main() -> None:
    url, body, times, timeout = sys.argv[1], sys.argv[2].encode() or None, *map(int, sys.argv[3:])
    asked = json.loads(body) if body else {}
    if isinstance(asked.get("prompt"), int):
        # Numbers that are tokens of every vocabulary from Llama 2's on, none of them special.
        asked["prompt"] = [random.randrange(1000, 30000) for _ in range(asked["prompt"])]
        body = json.dumps(asked).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Straight)

    def ask(_: int) -> dict[str, object]:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        began = time.monotonic()
        try:
            with opener.open(request, timeout=timeout) as answer:
                text, status, error = answer.read(LONGEST).decode(), answer.status, None
        except urllib.error.HTTPError as refused:
            text, status = "", refused.code
            error = f"HTTP {status}: {said(refused)}"
        except (OSError, http.client.HTTPException, ValueError) as failed:
            text, status = "", 0
            error = str(getattr(failed, "reason", failed))
            error = f"no answer in {timeout} s" if "timed out" in error else error
        return {
            "text": text,
            "status": status,
            "error": error,
            "seconds": time.monotonic() - began,
        }

    with ThreadPoolExecutor(max_workers=times) as pool:
        print(json.dumps(list(pool.map(ask, range(times)))))


main()
