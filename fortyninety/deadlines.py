"""Deadlines for each kind of command on a host, in seconds.

A bound is for a command that hangs on a host that answers (a disk that stalls, a prompt nobody
sees): far above what the slowest right host needs. A host that is silent is noticed long before by
its connection (`fortyninety.connection.bounded`).
"""

from __future__ import annotations

# What only looks at files or writes small ones. On a converged lab host each takes well under 1 s.
COMMAND = 120

# The survey: `nvidia-smi` alone may take 60 s (SurveyRequest.patience), and apt's lists are read.
SURVEY = 300

# apt and dpkg once their locks are free. CUDA's toolkit is 1.9 GB, half an hour at 10 Mbit/s, and
# DKMS builds the driver's module for each kernel, some minutes each.
APT = 2 * 3600

# update-initramfs for every kernel, with the driver's firmware in it.
INITRAMFS = 900

# A unit to stop and start: the engine has 60 s to end (TimeoutStopSec), and the cause of its end is
# looked for in the journal (PATIENCE in on_host/engine_failure/journal.py).
UNIT = 420

# Removing an environment or a snapshot: 7 and 40 GB in thousands of files.
REMOVAL = 900

# Installing uv and an HTTP client, or uv's build of Python: some 100 MB.
TOOLS = 1800

# Making an engine's environment: wheels of 5 GB, over an hour at 10 Mbit/s, written and tried.
ENVIRONMENT = 4 * 3600

# Asking the engine's own parser: it imports vLLM and torch, from a cold disk minutes.
PARSER = 600

# One completion, or the reason that there is none (complete.REQUEST_TIMEOUT, twice).
COMPLETION = 240

# A step of a snapshot's fetch: 40 GB take 9 hours at 10 Mbit/s. Hashing 40 GB is far within it.
SNAPSHOT = 24 * 3600

# Added to a wait that a program on the host keeps by itself: for its start, and for finding the
# cause when the wait was in vain (complete.DIAGNOSIS_TIMEOUT).
DIAGNOSIS = 240
