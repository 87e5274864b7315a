"""Print what a front says of its boxes: by name UP, DOWN or what else. The control socket."""

from __future__ import annotations

import json
import socket
import sys

with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(20)
    connection.connect(sys.argv[1])
    connection.sendall(b"show stat boxes 4 -1\n")
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while part := connection.recv(65536):
        answer += part
rows = [line.split(",") for line in answer.decode(errors="replace").splitlines() if line]
column = rows[0].index("status")
print(json.dumps({row[1]: row[column] for row in rows[1:]}))
