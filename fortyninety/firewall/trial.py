"""Load rules on trial: the host takes them back by itself unless it is told to keep them.

Shell scripts for the host, which needs nothing for them but systemd and nft. Whichever is first to
rename `armed`, the host's timer or whoever keeps the rules, decides; both cannot.
"""

from __future__ import annotations

from fortyninety.firewall.rules import LOADED

# Seconds after which the host takes the rules back.
SECONDS = 60

TABLE = "inet fortyninety_firewall"
TIMER = "fortyninety-firewall-trial"
# Not on a disk: after a boot there is no trial, and no rules of one.
FOLDER = "/run/fortyninety/firewall-trial"

# The table as it was, or no table; where that cannot be loaded, none either.
TAKE_BACK = f"""\
mv -T {FOLDER}/armed {FOLDER}/over || exit 0
nft --file {FOLDER}/before.nft || nft delete table {TABLE}
rm -rf {FOLDER}
"""

# Ends what an earlier trial left whose run was cut, so that "before" is never its rules.
_END_EARLIER = f"""\
systemctl stop {TIMER}.timer 2>/dev/null
[ ! -e {FOLDER}/armed ] || sh {FOLDER}/take-back || exit 1
rm -rf {FOLDER}
"""

# Reads the rules.
BEGIN = f"""\
{_END_EARLIER}
umask 077
mkdir -p -m 755 /run/fortyninety && mkdir {FOLDER} && cat >{FOLDER}/rules.nft &&
  nft --check --file {FOLDER}/rules.nft || exit 1
{{ echo 'table {TABLE} {{}}'; echo 'delete table {TABLE}'
  nft list table {TABLE} 2>/dev/null; }} >{FOLDER}/before.nft
cat >{FOLDER}/take-back <<'END'
{TAKE_BACK}END
: >{FOLDER}/armed
systemd-run --quiet --collect --unit={TIMER} --on-active={SECONDS} \\
  --timer-property=AccuracySec=100ms /bin/sh {FOLDER}/take-back &&
  systemctl is-active --quiet {TIMER}.timer && nft --file {FOLDER}/rules.nft && exit 0
sh {FOLDER}/take-back
exit 1
"""

KEEP = f"""\
mv -T {FOLDER}/armed {FOLDER}/kept || {{ echo 'the host took them back already' >&2; exit 1; }}
systemctl stop {TIMER}.timer
rm -rf {FOLDER}
nft list table {TABLE} >/dev/null
"""

# At once, where the host still hears of it.
GIVE_UP = f"""\
[ ! -e {FOLDER}/armed ] || sh {FOLDER}/take-back
systemctl stop {TIMER}.timer 2>/dev/null
[ ! -e {FOLDER} ]
"""

# Nothing of a firewall, on trial or not.
REMOVE = f"""\
systemctl stop {TIMER}.timer 2>/dev/null
rm -rf {FOLDER} {LOADED}
! nft list table {TABLE} >/dev/null 2>&1 || nft delete table {TABLE}
"""
