"""Ask a URL: by GET, or several times at once by POST where there is a body. Never by a proxy.

A prompt that is a number stands for as many tokens, drawn anew each time: a long prompt would be no
argument, and a cached one would not be read.
"""

import json
import random
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def main() -> None:
    url, body, times, timeout = sys.argv[1], sys.argv[2].encode() or None, *map(int, sys.argv[3:])
    asked = json.loads(body) if body else {}
    if isinstance(asked.get("prompt"), int):
        # Numbers that are tokens of every vocabulary from Llama 2's on, none of them special.
        asked["prompt"] = [random.randrange(1000, 30000) for _ in range(asked["prompt"])]
        body = json.dumps(asked).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(_: int) -> dict[str, object]:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        began = time.monotonic()
        try:
            with opener.open(request, timeout=timeout) as answer:
                text, status, error = answer.read().decode(), answer.status, None
        except urllib.error.HTTPError as refused:
            text, status = refused.read().decode(errors="replace"), refused.code
            error = f"HTTP {status}: {text[:200]}"
        except OSError as failed:
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
