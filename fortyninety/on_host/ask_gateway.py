#!/usr/bin/env python3
"""Ask this host's gateway for a completion as somebody with a key does.

The key is made for one request: the running gateway is told its hash and not its file, so that no
reload and no copy of the file has it, it ends by itself after a minute, and it is taken back once
the answer is there. Prints one JSON object: `answer`, or `error` in one line; `answer` is "drained"
where the box is, since nobody is let in then. Always ends with 0. Python 3.10, no packages.

    ask-gateway --folder /etc/fortyninety/gateway --control SOCKET --port 443 --model NAME
"""

import argparse
import hashlib
import http.client
import json
import secrets
import signal
import socket
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

# Seconds for the whole of it, and bytes of an answer.
PATIENCE = 60
LONGEST_ANSWER = 2**20
LONGEST_SHOWN = 300
# Whose the key is in the gateway's log: no tenant of anybody.
NAME, TENANT = "fortyninety-probe", "fortyninety"
# Somebody who gives the gateway all its keys anew takes this one away.
TRIES = 2


class NoAnswer(Exception):
    """Why the gateway's answer is none."""


def told(control: Path, command: str) -> str:
    """Return what the gateway answers to a command. Raises NoAnswer."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(control))
            connection.sendall(f"{command}\n".encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode().strip()
    except OSError as error:
        raise NoAnswer(f"no gateway runs: {error.strerror or error}") from error


def ask(port: int, model: str, secret: str, certificate: bytes) -> tuple[int, bytes]:
    """Return the status and the text of an answer from the gateway with that certificate."""
    # That it is the gateway's own is known by the certificate itself, whoever signed it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        if connection.sock.getpeercert(binary_form=True) != certificate:
            raise NoAnswer(f"port {port} has another certificate than the gateway's on disk")
        body = {"model": model, "prompt": "1", "max_tokens": 1, "temperature": 0}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read(LONGEST_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(str(error) or type(error).__name__) from error
    finally:
        connection.close()


def one_key(keys: Path, control: Path, port: int, model: str, certificate: bytes) -> str:
    """Return what is wrong with the answer to one request by a key of its own, or nothing."""
    secret = f"fn90-{secrets.token_hex(32)}"
    digest = hashlib.sha256(secret.encode()).hexdigest()
    entry = f"{NAME}:{TENANT}:600:4:{int(time.time()) + PATIENCE}"
    if said := told(control, f"add map {keys} {digest} {entry}"):
        raise NoAnswer(f"the gateway took no key: {said}")
    try:
        status, text = ask(port, model, secret, certificate)
    finally:
        with suppress(NoAnswer):
            told(control, f"del map {keys} {digest}")
    if status != 200:
        return f"HTTP {status}: {text[:LONGEST_SHOWN].decode(errors='replace')}"
    try:
        tokens = json.loads(text)["usage"]["completion_tokens"]
    except (ValueError, KeyError, TypeError, RecursionError):
        tokens = None
    if type(tokens) is not int or tokens != 1:
        return f"it answered no completion: {text[:LONGEST_SHOWN].decode(errors='replace')}"
    return ""


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is printed."""
    folder, keys = options.folder, options.folder / "keys.map"
    try:
        if (
            told(options.control, f"get map {folder / 'drained.map'} drained").find("found=yes")
            >= 0
        ):
            return {"answer": "drained"}
        certificate = ssl.PEM_cert_to_DER_cert(first_certificate(folder / "server.pem"))
        wrong = ""
        for _ in range(TRIES):
            wrong = one_key(keys, options.control, options.port, options.model, certificate)
            if not wrong.startswith("HTTP 401"):
                break
        return {"error": wrong} if wrong else {"answer": "whole"}
    except (NoAnswer, OSError, ValueError) as error:
        return {"error": str(error)}


def first_certificate(path: Path) -> str:
    """Return the gateway's own of a file that has its key and its chain too. Raises ValueError."""
    begins, ends = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    _, begin, rest = path.read_text().partition(begins)
    own, end, _ = rest.partition(ends)
    if not end:
        raise ValueError(f"{path} has no certificate")
    return f"{begin}{own}{end}"


def late(_signal: int, _frame: object) -> None:
    """End what takes too long, however it is read. Raises NoAnswer."""
    raise NoAnswer(f"no answer within {PATIENCE} s")


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="See the module.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    json.dump(asked(options), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
