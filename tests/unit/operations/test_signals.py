"""What a host is shown of the certificates that others know it by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pyinfra.context import ctx_host, ctx_state

from fortyninety.operations.converge import Command
from fortyninety.operations.files import Upload
from fortyninety.operations.signals import without_key
from fortyninety.survey.reading import CertificateReading, FileState
from tests.unit.readings import bare_host

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
ITS = CertificateReading(certificates=PEM, whole=True)
PATH = "/etc/fortyninety/signals-x.pem"
# As the file is where a deploy left it.
THERE = FileState("regular file", "644", "root", "root", hashlib.sha256(PEM.encode()).hexdigest())


@pytest.fixture(autouse=True)
def executing() -> Iterator[SimpleNamespace]:
    """A run that changes hosts, unless a test says that it looks alone."""
    run = SimpleNamespace(is_executing=True)
    nothing = SimpleNamespace(noop=lambda _: None, current_op_hash=None)
    with ctx_state.use(run), ctx_host.use(nothing):
        yield run


def commands(its: CertificateReading | None, there: FileState | None = None) -> list[Command]:
    reading = replace(bare_host(), files={} if there is None else {PATH: there})
    return list(without_key(reading, its, "/etc/x.pem", PATH))


def test_the_certificate_that_the_host_has_is_shown_and_no_more_is_done_once_it_is() -> None:
    (made,) = commands(ITS)
    assert isinstance(made, Upload) and (made.path, made.data) == (PATH, PEM.encode())
    assert commands(ITS, THERE) == []
    for other in (replace(THERE, sha256="0" * 64), replace(THERE, mode="600")):
        (made,) = commands(ITS, other)
        assert isinstance(made, Upload)


def test_what_is_of_no_role_goes() -> None:
    assert commands(None, THERE) == [f"rm -f {PATH}"]
    assert commands(None) == []


def test_one_that_is_missing_fails_while_a_look_alone_says_that_it_will_be_there(
    executing: SimpleNamespace,
) -> None:
    (failed,) = commands(CertificateReading())
    assert not isinstance(failed, str | Upload)
    executing.is_executing = False
    (shown,) = commands(CertificateReading())
    assert isinstance(shown, Upload)
