"""Name the exit codes of every command: docs/commands.md explains each."""

from __future__ import annotations

# It is so, or it was done.
DONE = 0
# The answer is no: does not fit, something is wrong, not done.
NO = 1
# There is no answer: a wrong call, an inventory that cannot be used, a host that cannot be reached.
NO_ANSWER = 2
# A deploy would change something.
WOULD_CHANGE = 3
# Hosts that served do not, after a rollout.
NOT_SERVING = 4
# A defect of this project: EX_SOFTWARE of sysexits.h. Not 1, which is an answer.
DEFECT = 70
# As a shell reports SIGINT (2) and SIGPIPE (13): 128 and the signal.
INTERRUPTED = 130
NOBODY_READS = 141
