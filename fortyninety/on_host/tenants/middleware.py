"""Stand before the engine's API: each request of a tenant gets that tenant's salt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

from fortyninety.on_host.tenants.asgi import App, Message, Receive, Scope, Send
from fortyninety.on_host.tenants.counting import Answer, Counters, count
from fortyninety.on_host.tenants.refusal import Refused
from fortyninety.on_host.tenants.salt import salt_of, salted

# Which the gateway sets, whatever a client sends.
HEADER = b"x-fortyninety-tenant"
TENANT = re.compile(rb"[a-z0-9][a-z0-9-]{0,62}")
# A gateway lets through 16 MiB at most.
LARGEST_BODY = 32 * 1024 * 1024
# Those that ask for nothing to be computed.
READS = ("GET", "HEAD")


class TenantMiddleware:
    """An ASGI application around another one.

    `paths` are those whose requests take a salt. A tenant may ask these and read; anything else
    that computes something would share the cache, and is refused. So are websockets, whose messages
    nobody looks into here. What is passed on is passed on event for event, as it comes.
    """

    def __init__(
        self, app: App, *, secret: bytes, paths: Iterable[str], counters: Counters
    ) -> None:
        self._app, self._secret, self._counters = app, secret, counters
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] == "websocket":
            # Before it was accepted: the client is answered 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            tenant = tenant_of(scope)
            if scope["method"] != "POST" or not self._salts(scope):
                if tenant is not None and scope["method"] not in READS:
                    raise Refused(
                        HTTPStatus.NOT_FOUND, "unknown_url", "There is no such path for tenants."
                    )
                await self._app(scope, receive, send)
                return
            body = await whole_body(scope, receive)
            if body is None:
                return
            body = salted(body, salt_of(self._secret, tenant))
        except Refused as refused:
            await refused.answer(send)
            return
        await self._pass_on(with_body(scope, body), replayed(body, receive), send, tenant)

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, tenant: str | None
    ) -> None:
        answer = Answer()

        async def seen(message: Message) -> None:
            # Before it is sent: a client that left in between is counted as it would have been.
            answer.see(message)
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            count(self._counters, tenant, scope, answer)

    def _salts(self, scope: Scope) -> bool:
        # What a path means to the routes, which leave out the root path where it begins with it.
        path, root = scope["path"], scope.get("root_path", "").rstrip("/")
        return path in self._paths or (
            path.startswith(f"{root}/") and path.removeprefix(root) in self._paths
        )


def tenant_of(scope: Scope) -> str | None:
    """Return the tenant that the gateway names; None where none did. Raises Refused."""
    named = [value for name, value in scope["headers"] if name.lower() == HEADER]
    if not named:
        return None
    if len(named) > 1 or not TENANT.fullmatch(named[0]):
        raise Refused(HTTPStatus.BAD_REQUEST, "invalid_tenant", "The request names no one tenant.")
    return str(named[0].decode())


async def whole_body(scope: Scope, receive: Receive) -> bytes | None:
    """Return all of a request's body, or None where the client left. Raises Refused."""
    parts, size = [], 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "request_too_large",
                "The request is larger than this server takes.",
            )
        more = message.get("more_body", False)
    return b"".join(parts)


def with_body(scope: Scope, body: bytes) -> Scope:
    """Return the scope of the same request with a body of another length."""
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name.lower() not in (b"content-length", b"transfer-encoding")
    ]
    length = (b"content-length", b"%d" % len(body))
    # `state` is where the engine notes what the request took.
    return {"state": {}, **scope, "headers": [*headers, length]}


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a way to receive this body, and then what else there is: that the client left."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
