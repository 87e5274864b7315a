"""Print what a port of loopback that is for fronts answers to one without a certificate."""

from __future__ import annotations

import http.client
import json
import ssl
import sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), timeout=20, context=context)
said = ""
try:
    connection.request("GET", "/ready")
    answer = connection.getresponse()
    said = f"{answer.status} {answer.read(200).decode(errors='replace')}"
except ssl.SSLError as error:
    said = f"refused: {error.reason}"
except OSError as error:
    said = f"refused: {error}"
print(json.dumps(said))
