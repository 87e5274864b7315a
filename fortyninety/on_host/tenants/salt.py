"""Give a request the salt of its tenant, and take from it whatever salt it came with."""

from __future__ import annotations

import hashlib
import hmac
import json
from http import HTTPStatus

from fortyninety.on_host.tenants.refusal import Refused

FIELD = "cache_salt"


def salt_of(secret: bytes, tenant: str | None) -> str:
    """Return the salt of a tenant, or that of requests which no gateway passed on.

    The engine takes up to 128 characters, without "@", "/" and backslashes.
    """
    # A name of a tenant has no NUL, so that no two of these are alike.
    whose = b"local" if tenant is None else b"tenant\0" + tenant.encode()
    return hmac.new(secret, b"fortyninety cache salt 1\0" + whose, hashlib.sha256).hexdigest()


def salted(body: bytes, salt: str) -> bytes:
    """Return the JSON object of a request with this salt and no other. Raises Refused.

    It is written anew from what was read: each key once, in ASCII. The engine cannot find another
    salt in it, in whatever way it reads keys that come twice, or other encodings. What cannot be
    read here never reaches it, since it might be read there.
    """
    try:
        # As the engine reads it: UTF-8, 16 or 32, by its first bytes.
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "invalid_json", "The body of the request is no valid JSON."
        ) from None
    if not isinstance(request, dict):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "invalid_json", "The body of the request is no JSON object."
        )
    request[FIELD] = salt
    try:
        return json.dumps(request, separators=(",", ":")).encode()
    except RecursionError:
        raise Refused(
            HTTPStatus.BAD_REQUEST, "invalid_json", "The body of the request is nested too deeply."
        ) from None
