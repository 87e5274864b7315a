"""Requests that two servers could read in two ways, each with a second one for /metrics inside."""

from __future__ import annotations

_INSIDE = "GET /metrics HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n"
_CHUNKED = f"5\r\nhello\r\n0\r\n\r\n{_INSIDE}"


def hostile_requests(secret: str) -> dict[str, bytes]:
    """The bytes of each, by what it tries; all with a key that is right."""
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n"
    )
    get = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
    length = f"Content-Length: {len(_INSIDE)}\r\n"
    requests = {
        "length and chunks": f"{head}{length}Transfer-Encoding: chunked\r\n\r\n{_CHUNKED}",
        "chunks and length": f"{head}Transfer-Encoding: chunked\r\n{length}\r\n{_CHUNKED}",
        "two lengths": f"{head}Content-Length: 0\r\n{length}\r\n{_INSIDE}",
        "a list of lengths": f"{head}Content-Length: 0, {len(_INSIDE)}\r\n\r\n{_INSIDE}",
        "a length with a sign": f"{head}Content-Length: +0\r\n\r\n{_INSIDE}",
        "a negative length": f"{head}Content-Length: -1\r\n\r\n{_INSIDE}",
        "a length without end": f"{head}Content-Length: {'9' * 40}\r\n\r\n{_INSIDE}",
        "a length in hexadecimal": f"{head}Content-Length: 0x0\r\n\r\n{_INSIDE}",
        "a space before the colon": f"{head}Transfer-Encoding : chunked\r\n{length}\r\n{_CHUNKED}",
        "a folded header": f"{head}Transfer-Encoding:\r\n chunked\r\n{length}\r\n{_CHUNKED}",
        "chunks by another name": f"{head}Transfer-Encoding: xchunked\r\n{length}\r\n{_CHUNKED}",
        "chunks twice": f"{head}Transfer-Encoding: chunked, chunked\r\n\r\n{_CHUNKED}",
        "chunks and identity": f"{head}Transfer-Encoding: chunked, identity\r\n\r\n{_CHUNKED}",
        "a vertical tab": f"{head}Transfer-Encoding: \x0bchunked\r\n{length}\r\n{_CHUNKED}",
        "an underscore": f"{head}Transfer_Encoding: chunked\r\n{length}\r\n{_CHUNKED}",
        "a bare line feed": f"{head}{length}X: y\nTransfer-Encoding: chunked\r\n\r\n{_CHUNKED}",
        "a bare return": f"{head}{length}X: y\rTransfer-Encoding: chunked\r\n\r\n{_CHUNKED}",
        "a zero byte": f"{head}{length}X: \x00\r\n\r\n{_INSIDE}",
        "chunks with GET": f"GET /v1/models {get}Transfer-Encoding: chunked\r\n\r\n{_CHUNKED}",
        "a body with GET": f"GET /v1/models {get}{length}\r\n{_INSIDE}",
        "a line feed in the path": f"GET /v1/models\n/metrics {get}\r\n",
        "a space in the path": f"GET /v1/models HTTP/1.1 /metrics {get}\r\n",
        "an absolute path": f"GET http://x/metrics {get}\r\n",
        "an absolute path with another host": f"GET http://y/metrics {get}\r\n",
        "only an authority": f"CONNECT 127.0.0.1:22 {get}\r\n",
        "the star": f"OPTIONS * {get}\r\n",
        "HTTP/0.9": "GET /metrics\r\n\r\n",
        "HTTP/2 in the clear": f"GET /metrics {get}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        "Connection: Upgrade, HTTP2-Settings\r\n\r\n",
        "HTTP/2 at once": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a version of its own": f"GET /metrics {get.replace('1.1', '9.9', 1)}\r\n",
        "the header of a proxy": f"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET /metrics {get}\r\n",
        "no TLS within TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }
    return {what: text.encode("latin-1") for what, text in requests.items()}
