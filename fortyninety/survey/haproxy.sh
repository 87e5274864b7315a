# Of survey.sh, which calls it: what there is of a host's gateway or of its front, both HAProxy. Who
# listens on its ports, what root noted of the unit and of the files that the running one has in
# force.
# Arguments: what the names of the records begin with, the unit, its ports.
haproxy() {
  for port in $3; do
    listening "$1-" "$2" "$port"
  done
  invocation=$(systemctl show --property=InvocationID --value "$2")
  [ -n "$invocation" ] || return 0
  ! read -r started configuration rest <"/run/fortyninety/$2" ||
    [ "$started" != "$invocation" ] || say "$1-unit" "$configuration"
  ! read -r started configuration certificate keys rest <"/run/fortyninety/$2.loaded" ||
    [ "$started" != "$invocation" ] || say "$1-loaded" "$configuration" "$certificate" "$keys"
}

# Of a file with a certificate and its key the certificates alone, and whether it is as written.
# Arguments: the name of the record, the file.
certificate_in() {
  [ -f "$2" ] && [ ! -L "$2" ] || return 0
  mark=other
  read -r _ _ seal <"$2"
  [ "$(tail -n +2 "$2" | sha256sum)" != "$seal  -" ] || mark=whole
  say "$1" "$mark" "$(head -c 65536 "$2" |
    sed -n '/^-----BEGIN CERTIFICATE-----$/,/^-----END CERTIFICATE-----$/p' |
    grep -E '^(-----(BEGIN|END) CERTIFICATE-----|[A-Za-z0-9+/=]{1,76})$' | tr '\n' '|')"
}

