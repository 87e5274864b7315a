"""Decide whether an account that a host has may be the service's."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading

NO_LOGIN = ("nologin", "false")
# Beside its own. The cards' device files are everybody's; some images make them these groups'.
HARMLESS_GROUPS = frozenset({"video", "render"})


def account_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    """What is wrong with the account that the host has by the name of `service_user`, if any.

    Whoever gets into the engine has what the account has: nothing but the engine, where the deploy
    made it.
    """
    if reading.account.entry is None:
        return
    name, _, uid, gid, _, home, shell = reading.account.entry.split(":")
    user = settings.service_user
    wrong = []
    if name != user:
        wrong.append(f"another name of {name}")
    if int(uid) == 0 or int(gid) == 0:
        wrong.append(f"root's (user id {uid}, group id {gid})")
    if shell.rpartition("/")[2] not in NO_LOGIN:
        wrong.append(f"one that logs in, with {shell or '/bin/sh'}")
    if f"{home}/".startswith("/root/"):
        wrong.append(f"at home in {home}")
    if others := sorted(set(reading.account.groups) - HARMLESS_GROUPS - {user}):
        wrong.append(f"in {', '.join(others)}")
    for what in wrong:
        yield Problem(
            host=host,
            subject="service_user",
            found=f"{user!r}, on the host {what}",
            expected=(
                "an account without a login shell, in its own group alone, as a deploy makes it"
            ),
            remedy="Choose another name, which a deploy makes, or change the account",
        )
