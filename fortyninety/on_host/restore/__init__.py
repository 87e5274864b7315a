"""Run what starts a new engine or waits for it, and where that fails put the one before back.

What is put back is the unit that a rollback would go to (on_host/roll_back.py), by the same
program and with the same checks. Nothing is put back where the unit on disk is the latest that
served, where nothing else served, where the unit on disk is no longer the one that failed, or where
another run has the host's lease by now: a controller may be dead for as long as an engine takes to
start.

Standard output and error are the command's own, and so is the end where it succeeds. Where it
fails, a last line on standard error has the first one of the command's, which is the cause, and
what serves now; the end is 1. Of the unit that failed its configuration, the time and the cause
stay in the file `--note`, until a command succeeds that is `--answered`. Python 3.10, no packages.

    restore --install-directory /opt/fortyninety --unit /etc/systemd/system/vllm.service \\
        --port 8000 --wait 1800 --run 0123456789abcdef \\
        --note /var/lib/fortyninety/failed-gate.json --answered \\
        -- python3 /opt/fortyninety/bin/complete --port 8000 --model NAME --wait 1800
"""
