"""An account that is on a host already is the service's only if a deploy would make it so."""

from __future__ import annotations

import pytest

from fortyninety.plan.preflight import host_problems
from tests.unit.readings import bare_host, settings

RIGHT = "vllm:x:998:998::/home/vllm:/usr/sbin/nologin"


def said(user: str | None, *groups: str) -> list[str]:
    reading = bare_host(account__entry=user, account__groups=groups)
    return [str(each) for each in host_problems("box1", settings(), reading)]


@pytest.mark.parametrize("groups", [(), ("vllm",), ("vllm", "video", "render")])
def test_an_account_as_a_deploy_makes_it_is_taken(groups: tuple[str, ...]) -> None:
    assert said(RIGHT, *groups) == []
    assert said(None) == []


@pytest.mark.parametrize(
    ("user", "groups", "found"),
    [
        ("vllm:x:0:998::/home/vllm:/usr/sbin/nologin", (), "root's (user id 0, group id 998)"),
        ("vllm:x:998:0::/home/vllm:/usr/sbin/nologin", (), "root's (user id 998, group id 0)"),
        ("vllm:x:1000:1000::/home/vllm:/bin/bash", (), "logs in, with /bin/bash"),
        ("vllm:x:998:998::/home/vllm:", (), "logs in, with /bin/sh"),
        ("vllm:x:998:998::/root:/usr/sbin/nologin", (), "at home in /root"),
        ("toor:x:998:998::/nowhere:/usr/sbin/nologin", (), "another name of toor"),
        (RIGHT, ("vllm", "docker", "sudo"), "in docker, sudo"),
        (RIGHT, ("root",), "in root"),
    ],
)
def test_an_account_that_is_more_is_refused_before_anything(
    user: str, groups: tuple[str, ...], found: str
) -> None:
    (problem,) = said(user, *groups)
    assert problem.startswith("box1: service_user is 'vllm', on the host ") and found in problem
    assert "as a deploy makes it" in problem


def test_every_reason_is_said_at_once() -> None:
    assert len(said("vllm:x:0:0::/root:/bin/bash", "root", "docker")) == 4
