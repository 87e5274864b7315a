"""Print what a port of loopback answers to a path, over HTTP."""

from __future__ import annotations

import http.client
import json
import sys

LOOPBACK = "127.0.0.1"
TIMEOUT = 20
MOST = 8 * 1024 * 1024

connection = http.client.HTTPConnection(LOOPBACK, int(sys.argv[1]), timeout=TIMEOUT)
try:
    connection.request("GET", sys.argv[2])
    answer = connection.getresponse()
    status, text = answer.status, answer.read(MOST).decode(errors="replace")
except (OSError, http.client.HTTPException) as error:
    status, text = 0, str(error)
print(json.dumps({"status": status, "text": text}))
