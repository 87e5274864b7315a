# End the lease of this host, whoever has it, and log who did so and why.
#
# Set before it runs: folder, who, reason. Prints one line, its fields separated by tabs:
#   free             nobody had it
#   ended  line      the line of $folder/holder (hold_lease.sh), or nothing
#   stuck  process   that process keeps it and cannot be killed
lease=$folder/lease

# The processes that have the lease locked: as open files with a lock, whatever their number.
holders() {
  find /proc/[0-9]*/fd -lname "$lease" 2>/dev/null | while read -r link; do
    process=${link#/proc/}
    process=${process%%/*}
    ! grep -q '^lock:' "/proc/$process/fdinfo/${link##*/}" 2>/dev/null || echo "$process"
  done
}

processes=$(holders)
[ -n "$processes" ] || { printf 'free\t\n'; exit 0; }
read -r line 2>/dev/null <"$folder/holder" || line=
process=${line%% *}
case " $(echo $processes) " in *" $process "*) ;; *) line= ;; esac
logger -t fortyninety "$who ends the lease of ${line:-$(echo $processes)}: $reason" 2>/dev/null
kill -KILL $processes 2>/dev/null
tries=0
while left=$(holders) && [ -n "$left" ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 50 ] || { printf 'stuck\t%s\n' "$(echo $left)"; exit 0; }
  sleep 0.1
done
printf 'ended\t%s\n' "$line"
exit 0
