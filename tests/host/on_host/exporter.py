"""Print what the node exporter of a port says, and the moment."""

from __future__ import annotations

import http.client
import json
import sys
import time

LOOPBACK = "127.0.0.1"
TIMEOUT = 20
MOST = 4 * 1024 * 1024

connection = http.client.HTTPConnection(LOOPBACK, int(sys.argv[1]), timeout=TIMEOUT)
try:
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    status, text = answer.status, answer.read(MOST).decode(errors="replace")
except (OSError, http.client.HTTPException) as error:
    status, text = 0, str(error)
print(json.dumps({"status": status, "text": text, "now": time.time()}))
