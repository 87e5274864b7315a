"""That what is written is what Prometheus reads, and named by its rules."""

from __future__ import annotations

import re

import pytest

from fortyninety.on_host.signals.metrics import METRICS, PREFIX, Samples, escaped, written

UNITS = (
    *("seconds", "bytes", "watts", "celsius", "hertz", "ratio", "tests", "total", "info", "state"),
    # Without a unit: yes or no, or a number of things.
    *("up", "active", "enabled", "required", "drained"),
    *("wanted", "bus", "answering", "lanes", "generation", "max"),
)


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: each.name)
def test_a_name_follows_the_rules(metric: object) -> None:
    name, kind, text = metric.name, metric.kind, metric.help  # type: ignore[attr-defined]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert name.endswith("_total") == (kind == "counter")
    assert name.rpartition("_")[2] in UNITS
    assert re.fullmatch(r"[A-Z0-9][ -~]{8,100}\.", text) and "\\" not in text


def test_no_name_is_there_twice() -> None:
    assert len({each.name for each in METRICS}) == len(METRICS)


def test_the_text_has_help_and_type_once_and_every_sample() -> None:
    samples = Samples()
    samples.add("xid_errors_total", 2, "0000:01:00", "79")
    samples.add("reading_timestamp_seconds", 1795742190.841)
    samples.add("xid_errors_total", 1, "0000:02:00", "31")
    samples.add("drained", None)
    assert samples.text() == (
        f"# HELP {PREFIX}reading_timestamp_seconds When this was read, as Unix time.\n"
        f"# TYPE {PREFIX}reading_timestamp_seconds gauge\n"
        f"{PREFIX}reading_timestamp_seconds 1795742190.841\n"
        f"# HELP {PREFIX}xid_errors_total Errors of the driver (Xid) in the kernel's log since the "
        "boot.\n"
        f"# TYPE {PREFIX}xid_errors_total counter\n"
        f'{PREFIX}xid_errors_total{{pci="0000:01:00",xid="79"}} 2\n'
        f'{PREFIX}xid_errors_total{{pci="0000:02:00",xid="31"}} 1\n'
    )


def test_what_the_table_does_not_have_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Samples().add("no_such_metric", 1)
    with pytest.raises(ValueError, match="labels"):
        Samples().add("xid_errors_total", 1, "0000:01:00")


def test_a_label_ends_where_it_should() -> None:
    assert escaped('a"b\\c\nd\x1bé') == 'a\\"b\\\\c?d??'
    assert len(escaped("x" * 5000)) == 200


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "1"), (False, "0"), (25757220864, "25757220864"), (0.97, "0.97"), (1e20, "1e+20")],
)
def test_a_number_is_written_as_it_is(value: float, text: str) -> None:
    assert written(value) == text
