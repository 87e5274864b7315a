"""Find the error that ended the engine's latest start, in one line, and what to do about it.

Reads what systemd and the journal say of the unit and prints one JSON object. `state` is "ended"
or "running"; `cause` is the first error that the engine itself raised, or an OOM kill, or systemd's
result, or, of an engine that has not ended, its latest line; `remedy` is what to do, or null where
the cause is none of the known ones; `more` is the command that prints the whole start; `notes` are
at most two lines about what else systemd says. Only starts that ended after `--since` (seconds
since 1970) count, and the latest one. Ends with 0, or with 1 and a line on standard error where
systemd cannot be asked. Needs Python 3.10 and no packages.

    engine-failure --unit vllm.service --since 1764115200

The unit itself runs it twice. With `--ending` it prints why the start that ends now ended, for the
journal; with `--before` it tells systemd, for `systemctl status`, why the start before did. Neither
says anything of a start that was stopped on request.
"""
