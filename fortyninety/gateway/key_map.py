"""Tell HAProxy the keys: a map from the hash of each key to whose it is and what it may."""

from __future__ import annotations

from collections.abc import Iterable

from fortyninety.gateway.keys import Key

# What parts the fields of an entry; the configuration reads them by their places.
SEPARATOR = ":"


def map_text(keys: Iterable[Key], changed: int = 0) -> str:
    """Return the text of the map's file. A revoked key is in no map; an expired one says why.

    `changed` is when the keys were changed last: a host refuses those that are older than its own.
    """
    return f"# changed {changed}\n" + "".join(
        f"{key.sha256} {_entry(key)}\n"
        for key in sorted(keys, key=lambda key: key.name)
        if key.revoked is None
    )


def _entry(key: Key) -> str:
    fields = (key.name, key.tenant, key.requests_per_minute, key.concurrent, key.expires_at)
    return SEPARATOR.join(map(str, fields))
