# What of a deploy is on this host beside what the survey reads, read in one round trip.
# Set before it runs: note, own_account, folders, emptied, files, model_folders, units.
# Prints one record a line, its kind and its fields, separated by tabs (fortyninety/survey/remains.py).
LC_ALL=C
export LC_ALL
tab=$(printf '\t')

remains() {
exec 2>/dev/null
echo begin
if [ -f "$note" ] && [ ! -L "$note" ]; then
  printf 'noted\tyes\n'
  head -c 1000000 "$note" | grep -Ex '(package|hold) [0-9A-Za-z][0-9A-Za-z+._-]*|cache (pip|uv)' | sort -u |
    tr ' ' '\t'
else
  printf 'noted\tno\n'
fi
{ printf '%s\n' "$own_account"
  head -c 1000000 "$note" | sed -n 's/^account \([a-z_][a-z0-9_-]*\)$/\1/p'; } | sort -u |
  while read -r account; do
    id=$(id -u -- "$account") && printf 'account\t%s\t%s\n' "$account" "$id"
  done
dpkg-query -W -f \
  'dpkg\t${Package}\t${db:Status-Status}\t${Pre-Depends}, ${Depends}\t${Provides}\t${Architecture}\n' |
  awk -F '\t' -v own="$(dpkg --print-architecture)" -v OFS='\t' \
    '$6 == own || $6 == "all" { NF = 5; print }'
apt-mark showhold | grep -Ex '[0-9A-Za-z][0-9A-Za-z+._-]*' | sed "s/^/held$tab/"
for folder in $folders; do
  [ -L "$folder" ] || ! mountpoint -q "$folder" ||
    [ -n "$(find "$folder" -mindepth 1 -print -quit)" ] || continue
  [ ! -e "$folder" ] && [ ! -L "$folder" ] || printf 'there\t%s\n' "$folder"
done
for folder in $emptied; do
  [ -d "$folder" ] && [ ! -L "$folder" ] && ! mountpoint -q "$folder" &&
    [ -z "$(find "$folder" -mindepth 1 ! -type d -print -quit)" ] && printf 'there\t%s\n' "$folder"
done
for file in $files; do
  [ -z "$(find "${file%/*}" -mindepth 1 -maxdepth 1 \
    -name ".${file##*/}.fortyninety-??????????" -print -quit)" ] || printf 'cut\t%s\n' "$file"
done
# Of models that no setting names any more only what a deploy published or began.
for folder in $model_folders; do
  find "$folder" -mindepth 2 -maxdepth 2 -regextype posix-extended -regex \
    '.*/[0-9A-Za-z][0-9A-Za-z._-]*/([0-9a-f]{40}|\.(partial|incoming|lock)-[0-9a-f]{40}|current)' \
    -printf '%P\n' | sort | while IFS=/ read -r model entry; do
      case $entry in
        current) [ -L "$folder/$model/current" ] || continue ;;
        [0-9a-f]*) [ -f "$folder/$model/$entry/.fortyninety-manifest" ] || continue ;;
      esac
      printf 'model\t%s\t%s\t%s\n' "$folder" "$model" "$entry"
    done
done
for unit in $units; do
  for folder in "/etc/systemd/system/$unit.d"; do
    [ ! -d "$folder" ] || printf 'drop-in\t%s\n' "$folder"
  done
done
echo end
}
remains | tr -c '\t\n -~' '?' | head -c 4000000
exit 0
