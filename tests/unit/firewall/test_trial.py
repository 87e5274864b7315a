"""Rules on trial: kept by who asked for them or taken back by the host, and never half of it."""

from __future__ import annotations

import shlex

import pytest

from fortyninety.firewall import trial
from fortyninety.firewall.rules import Door, Firewall, firewall_unit
from tests.unit.firewall.namespaces import alone, needs_nft

pytestmark = needs_nft

BEFORE, AFTER = (Firewall((Door("SSH", (port,)),)) for port in (22, 2222))

# systemd's two programs, for a machine that runs another systemd, or none: the timer is a file.
STANDINS = f"""
mkdir -p /run/bin /run/fortyninety; PATH=/run/bin:$PATH; export PATH
cat >/run/bin/systemd-run <<'END'
#!/bin/sh
echo "$*" >/run/timer
END
cat >/run/bin/systemctl <<'END'
#!/bin/sh
case $* in "stop {trial.TIMER}.timer") rm -f /run/timer ;; *) [ -e /run/timer ] ;; esac
END
chmod 755 /run/bin/*
"""


BEGIN, KEEP, GIVE_UP, REMOVE = (
    f"sh -c {shlex.quote(each)}" for each in (trial.BEGIN, trial.KEEP, trial.GIVE_UP, trial.REMOVE)
)


def begin(firewall: Firewall) -> str:
    return f"cat >/run/rules <<'RULES'\n{firewall.rules}RULES\n{BEGIN} </run/rules\n"


LOAD_BEFORE = f"nft -f - <<'RULES'\n{BEFORE.rules}RULES\n"
TIME_IS_UP = f"sh {trial.FOLDER}/take-back\n"
SAY = """
nft list table inet fortyninety_firewall 2>/dev/null | sed -n 's/.*comment "\\(.*\\)"/\\1/p'
[ ! -e /run/timer ] || echo timer
ls /run/fortyninety
"""


def after(*steps: str) -> list[str]:
    """The digest of the table, and what of the trial is there; none is one that is over."""
    return alone(STANDINS + "".join(steps) + SAY).split()


def test_rules_on_trial_are_loaded_with_a_timer() -> None:
    assert after(begin(AFTER)) == [AFTER.digest, "timer", "firewall-trial"]


def test_kept_rules_stay_when_the_time_is_up() -> None:
    late = f"cp {trial.FOLDER}/take-back /run/late\n"
    assert after(begin(AFTER), late, KEEP + "\n", "sh /run/late\n") == [AFTER.digest]


@pytest.mark.parametrize("how", [TIME_IS_UP, GIVE_UP + "\n"])
@pytest.mark.parametrize(("earlier", "left"), [("", []), (LOAD_BEFORE, [BEFORE.digest])])
def test_rules_that_nobody_keeps_are_taken_back_to_what_was_there(
    how: str, earlier: str, left: list[str]
) -> None:
    over = "rm -f /run/timer\n" if how == TIME_IS_UP else ""
    assert after(earlier, begin(AFTER), how, over) == left


def test_rules_that_were_taken_back_cannot_be_kept() -> None:
    said = alone(STANDINS + begin(AFTER) + TIME_IS_UP + f"{KEEP} 2>&1 || echo refused\n")
    assert said.split("\n")[-2:] == ["refused", ""]
    assert "the host took them back already" in said


def test_a_trial_that_was_cut_is_ended_before_the_next() -> None:
    """Else the next would take the rules of the first for what was there before."""
    other = Firewall((Door("SSH", (2022,)),))
    assert after(LOAD_BEFORE, begin(AFTER), begin(other), GIVE_UP + "\n") == [BEFORE.digest]


def test_rules_that_nft_does_not_take_change_nothing() -> None:
    broken = f"echo 'table inet x {{ nonsense }}' | {BEGIN} 2>/dev/null || true\n"
    assert after(LOAD_BEFORE, broken, f"rm -rf {trial.FOLDER}\n") == [BEFORE.digest]


def test_without_a_timer_nothing_is_loaded() -> None:
    no_timer = "printf '#!/bin/sh\\nexit 1\\n' >/run/bin/systemd-run\n"
    assert after(LOAD_BEFORE, no_timer, f"({begin(AFTER)}) || true\n") == [BEFORE.digest]


def test_nothing_stays_of_a_firewall_that_is_removed() -> None:
    assert after(LOAD_BEFORE, begin(AFTER), REMOVE + "\n") == []


def test_the_unit_is_before_the_network_and_after_who_flushes_everything() -> None:
    unit = firewall_unit("/etc/fortyninety/firewall.nft")
    for line in (
        "Before=network-pre.target shutdown.target",
        "After=nftables.service",
        "WantedBy=sysinit.target",
        "ExecStart=/usr/sbin/nft --file /etc/fortyninety/firewall.nft",
    ):
        assert line in unit.splitlines()
