# Hold the lease of this host for as long as whoever changes it goes on asking for it.
#
# Set before it runs: folder, run, who, what, patience. The lease is an exclusive flock(2) of
# $folder/lease, which the kernel frees when this program ends, in whatever way. $folder/holder says
# who has it, or had it last, in one line of words: process, seconds since 1970, run, "taking" or
# "held", who, what. Both are root's alone: whoever could open the lease could lock it too.
#
# Prints one line, its fields separated by tabs:
#   taken     run of the last holder, or nothing
#   refused   the holder's line, or nothing where the lock is not this program's
#   unusable  why
# and, once it was taken, "beat" for each "beat" that it reads; "held" is noted for others. It ends
# with its input, which ends with the connection, and when it reads nothing for $patience seconds.
# Needs nothing that a bare Debian lacks.
umask 077
lease=$folder/lease
holder=$folder/holder

say() { printf '%s\t%s\n' "$1" "$2"; }

mkdir -p -m 755 "$folder" 2>/dev/null
found=$(stat -c '%F %u %a' "$folder" 2>&1)
case $found in
  "directory $(id -u) "[0-7]*[2367] | "directory $(id -u) "[0-7]*[2367][0-7] | '') found= ;;
  "directory $(id -u) "*) ;;
  *) found= ;;
esac
[ -n "$found" ] && [ ! -L "$folder" ] && [ ! -L "$lease" ] && [ ! -L "$holder" ] || {
  say unusable "$folder is $(stat -c '%F of %U with mode %a' "$folder" 2>&1 | tr '\n\t' '  ')"
  exit 0
}

record() {
  printf '%s %s %s %s %s %s\n' "$$" "$since" "$run" "$1" "$who" "$what" >"$holder.$$" &&
    mv -f "$holder.$$" "$holder"
}

exec 9>>"$lease"
tries=0
until flock -n 9; do
  # Whoever was granted it a moment ago may not have said so yet.
  read -r line 2>/dev/null <"$holder" || line=
  process=${line%% *}
  case $process in *[!0-9]*) process= ;; esac
  if [ -n "$process" ] && grep -q '^lock:' "/proc/$process/fdinfo/9" 2>/dev/null; then
    say refused "$line"
    exit 0
  fi
  tries=$((tries + 1))
  [ "$tries" -lt 20 ] || { say refused ''; exit 0; }
  sleep 0.1 9>&-
done
# A rollback that lost whoever asked for it goes on until the service is restarted.
exec 8>>"$folder/rollback"
flock -n 8 || {
  say unusable 'a rollback is at work there whose controller is gone; it ends by itself'
  exit 0
}
exec 8>&-

read -r line 2>/dev/null <"$holder" || line=
before=$(printf '%s' "$line" | cut -d ' ' -f 3)
since=$(date +%s)
record taking || { say unusable "$holder cannot be written"; exit 0; }
say taken "$before"
# Only this shell may have the lock open: what it runs could outlive it.
while said=$(exec 9>&-; exec timeout "$patience" dd bs=64 count=1 2>/dev/null) && [ -n "$said" ]; do
  case $said in *held*) record held ;; esac
  case $said in *beat*) echo beat || break ;; esac
done
exit 0
