"""Print what the gateway answers to somebody without a key: a port of loopback, and paths."""

from __future__ import annotations

import http.client
import json
import ssl
import sys

LOOPBACK = "127.0.0.1"
TIMEOUT = 20


def context(latest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname = False
    found.verify_mode = ssl.CERT_NONE
    if latest is not None:
        found.set_ciphers("ALL:@SECLEVEL=0")
        found.minimum_version = ssl.TLSVersion.TLSv1
        found.maximum_version = latest
    return found


def status(port: int, path: str) -> int:
    connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=TIMEOUT, context=context())
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def speaks_old_tls(port: int) -> bool:
    old = context(ssl.TLSVersion.TLSv1_1)
    try:
        http.client.HTTPSConnection(LOOPBACK, port, timeout=TIMEOUT, context=old).connect()
    except (OSError, ssl.SSLError):
        return False
    return True


port, status_port, *paths = sys.argv[1:]
ready = http.client.HTTPConnection(LOOPBACK, int(status_port), timeout=TIMEOUT)
ready.request("GET", "/ready")
print(
    json.dumps(
        {
            "statuses": {path: status(int(port), path) for path in paths},
            "certificate": ssl.get_server_certificate((LOOPBACK, int(port)), timeout=TIMEOUT),
            "old_tls": speaks_old_tls(int(port)),
            "ready": ready.getresponse().status == 200,
        }
    )
)
