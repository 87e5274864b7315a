# Write into the journal of this host, in one line, who changed it, how, and what serves since.
#
# Set before it runs: change (an object of JSON without its closing brace), service, unit (its
# file). What serves is added as root noted it when the service started. Never fails.
now=
invocation=$(systemctl show --property=InvocationID --value "$service" 2>/dev/null)
[ -z "$invocation" ] || ! read -r started configuration rest 2>/dev/null <"/run/fortyninety/$service" ||
  [ "$started" != "$invocation" ] || now=$configuration
case $now in *[!0-9a-f]*) now= ;; esac
engine=$(sed -n \
  's|^ExecStart=/[!-~]*/engines/\([A-Za-z0-9][A-Za-z0-9.+-]*-[0-9a-f]\{12\}\)/bin/.*|\1|p' "$unit" \
  2>/dev/null | head -n 1)
[ -n "$now" ] || engine=
printf '%s, "after": {"engine": "%s", "configuration": "%s"}}\n' "$change" "$engine" "$now" |
  systemd-cat --identifier=fortyninety-history 2>/dev/null
true
