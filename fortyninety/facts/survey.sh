# Everything a deploy needs to know of a host, read in one round trip and changing nothing.
# Set before it runs: files, packages, units, ports, snapshot, second_copy, service, user,
# models_directory, install_directory, keyring, patience.
# Prints one record a line: its kind, then its fields, separated by tabs. A missing tool leaves its
# records out; nothing here may make the whole script fail.
LC_ALL=C
export LC_ALL
tab=$(printf '\t')

( . /etc/os-release
  printf 'os\t%s\t%s\t%s\t%s\n' "$ID" "${VERSION_ID:-}" "${VERSION_CODENAME:-}" "$PRETTY_NAME" )
printf 'machine\t%s\n' "$(uname -m)"
# What the first processor is called and what it can do, in the kernel's own words.
awk -F '[[:space:]]*: ' '$1 == "model name" { name = $2 }
  $1 == "flags" { gsub("\t", " ", name); printf "processor\t%s\t%s\n", name, $2; exit }' \
  /proc/cpuinfo 2>/dev/null
read -r boot </proc/sys/kernel/random/boot_id && printf 'boot\t%s\n' "$boot"

# The archives that apt is set up with, fetched yet or not, and the file that says so.
apt-get indextargets --no-release-info --format 'apt	$(SOURCESENTRY)	$(REPO_URI)	$(RELEASE)	$(COMPONENT)' \
  'Created-By: Packages' 2>/dev/null | sort -u
set -f # the patterns are dpkg's, not the shell's
dpkg-query -W -f 'package\t${Package}\t${Version}\t${db:Status-Want}\t${db:Status-Status}\n' \
  $packages 'linux-image-*' 'linux-headers-*' 2>/dev/null
set +f
[ -z "$(dpkg --audit 2>/dev/null)" ] && [ -z "$(ls /var/lib/dpkg/updates 2>/dev/null)" ] ||
  printf 'dpkg-broken\n'
[ ! -s "$keyring" ] || gpg --show-keys --with-colons "$keyring" 2>/dev/null |
  awk -F: '$1 == "pub" { key = 1 } $1 == "fpr" && key { print "keyring\t" $10; key = 0 }'

# The kernels that can boot, oldest first, and the NVIDIA module that each has. DKMS says its version
# in the name of a link; modinfo would unpack 60 MB for it.
for image in $(ls /boot/vmlinuz-* 2>/dev/null | sort -V); do
  kernel=${image#/boot/vmlinuz-}
  module=$(find "/lib/modules/$kernel" \( -name 'nvidia.ko*' -o -name 'nvidia-current.ko*' \) \
    2>/dev/null | head -n 1)
  version=
  if [ -n "$module" ]; then
    version=$(readlink "/var/lib/dkms/nvidia"*"/kernel-$kernel-$(uname -m)" 2>/dev/null)
    version=${version%%/*}
    [ -n "$version" ] || version=$(modinfo -F version "$module" 2>/dev/null)
  fi
  printf 'kernel\t%s\t%s\n' "$kernel" "$version"
done
# What DKMS made of each version for each kernel: a folder once built, a link once installed, and the
# log of a build where one failed.
for built in /var/lib/dkms/nvidia*/[0-9]*/*/"$(uname -m)"/module; do
  [ -d "$built" ] || continue
  kernel=${built%/*/module}
  version=${kernel%/*}
  mark=built
  [ ! -e "${version%/*}/kernel-${kernel##*/}-$(uname -m)" ] || mark=installed
  printf 'dkms\t%s\t%s\t%s\n' "${version##*/}" "${kernel##*/}" "$mark"
done
for log in /var/lib/dkms/nvidia*/[0-9]*/build/make.log; do
  [ -f "$log" ] || continue
  version=${log%/build/make.log}
  printf 'dkms\t%s\t%s\tfailed\n' "${version##*/}" \
    "$(sed -n 's/^DKMS .*for kernel \([^ ]*\).*/\1/p' "$log" | head -n 1)"
done
# What the boot loader starts: GRUB's menu and the entry that was saved or asked for once, or
# systemd-boot's own list.
if [ -r /boot/grub/grub.cfg ]; then
  grep -E '^[[:space:]]*(set default=|submenu |menuentry |linux[a-z]*[[:space:]]|})' \
    /boot/grub/grub.cfg | tr '\t' ' ' | sed "s/^/grub$tab/"
  grep -a -E '^(saved_entry|next_entry)=.' /boot/grub/grubenv 2>/dev/null | sed "s/^/grub-env$tab/"
elif [ -d /boot/loader/entries ] || [ -d /efi/loader/entries ] || [ -d /boot/efi/loader/entries ]; then
  entries=$(bootctl --json=short --no-pager list 2>/dev/null | tr '\n\t' '  ')
  [ -z "$entries" ] || printf 'boot-entries\t%s\n' "$entries"
fi

# Cards as the bus shows them, before any driver: vendor 10de, display or 3D controllers.
for device in /sys/bus/pci/devices/*; do
  read -r vendor 2>/dev/null <"$device/vendor" || continue
  [ "$vendor" = 0x10de ] || continue
  read -r class <"$device/class"
  case $class in 0x0300* | 0x0302*) ;; *) continue ;; esac
  read -r model <"$device/device"
  printf 'pci\t%s\t%s\n' "${device##*/}" "$model"
done
[ ! -d /sys/module/nouveau ] || printf 'nouveau\n'

# The driver in memory, and the one that programs load, by the name of the file behind its soname.
loaded=
read -r loaded 2>/dev/null </sys/module/nvidia/version ||
  loaded=$(sed -n 's/^NVRM version:.* \([0-9][0-9]*\.[0-9.]*\) .*/\1/p' /proc/driver/nvidia/version 2>/dev/null)
[ -z "$loaded" ] || printf 'loaded\t%s\n' "$loaded"
for library in libcuda.so.1 libnvidia-ml.so.1; do
  for folder in /usr/lib/x86_64-linux-gnu /usr/lib64; do
    file=$(readlink -f "$folder/$library" 2>/dev/null) && [ -f "$file" ] || continue
    printf 'library\t%s\t%s\n' "${library%.1}" "${file##*.so.}"
    break
  done
done

# Whether the firmware lets in only signed modules, and knows the key that DKMS signs with.
secure=$(mokutil --sb-state 2>/dev/null) || secure=
[ -n "$secure" ] || case $(od -An -tu1 -j4 -N1 \
  /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c 2>/dev/null) in
  *1) secure='SecureBoot enabled' ;;
esac
case $secure in *'SecureBoot enabled'*)
  mark=none
  for certificate in /var/lib/dkms/mok.pub /var/lib/shim-signed/mok/MOK.der; do
    [ -f "$certificate" ] || continue
    case $(mokutil --test-key "$certificate" 2>&1) in
      *'already enrolled'*) mark=enrolled ;;
      *'not enrolled'*) [ "$mark" = enrolled ] || mark=$certificate ;;
      *) [ "$mark" != none ] || mark=unknown ;;
    esac
  done
  printf 'secure-boot\t%s\n' "$mark" ;;
esac

# What a command prints, and its status; nothing but a word of it after `patience` seconds. nvidia-smi
# waits for ever for a card that its driver has lost, and then nothing kills it: it runs beside, with
# no file open that anybody reads to the end.
bounded() {
  answer=$(mktemp -d) || return 1
  { timeout --kill-after=1 "$patience" "$@" >"$answer/said" 2>&1
    printf '%s\n' "$?" >"$answer/status"; } </dev/null >/dev/null 2>&1 &
  status=124
  ! timeout "$((patience + 3))" sh -c 'until [ -s "$1" ]; do sleep 0.05; done' sh "$answer/status" ||
    read -r status <"$answer/status"
  case $status in
    124 | 137) printf 'no answer in %s s\n' "$patience" ;;
    *) cat "$answer/said" ;;
  esac
  rm -rf "$answer"
  return "$status"
}

# Cards as the driver shows them. Its complaint is kept: it says why there are none. A release that
# does not know one of the later fields is asked for the others alone.
if command -v nvidia-smi >/dev/null 2>&1; then
  ask='nvidia-smi --format=csv,noheader,nounits --query-gpu=index,name,uuid,memory.total,driver_version,power.limit,power.min_limit,power.max_limit,persistence_mode'
  if cards=$(bounded $ask,pci.bus_id,power.default_limit,ecc.mode.current,clocks_event_reasons.active) ||
    { case $cards in *'not a valid field'*) cards=$(bounded $ask) ;; *) false ;; esac; }; then
    printf '%s\n' "$cards" | sed "s/^/gpu$tab/"
  else
    printf 'gpu-error\t%s\n' "$(printf '%s' "$cards" | tr '\n\t' '  ')"
  fi
fi

[ -z "$files" ] || {
  stat --printf 'stat\t%n\t%F\t%a\t%U\t%G\n' $files 2>/dev/null
  sha256sum $files 2>/dev/null | sed "s/^\([0-9a-f]*\)  /sha256$tab\1$tab/"
  for file in $files; do
    [ ! -L "$file" ] || printf 'link\t%s\t%s\n' "$file" "$(readlink "$file")"
  done
}

printf 'user\t%s\n' "$(getent passwd "$user")"
systemctl show --property=Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,WantedBy \
  $units 2>/dev/null | sed "s/^/unit$tab/"
pid=$(systemctl show --property=MainPID --value "$service" 2>/dev/null)
[ "${pid:-0}" = 0 ] || printf 'running\t%s\n' \
  "$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -n 's/^FORTYNINETY_CONFIGURATION=//p')"

# The engine environments, whole or cut off midway, and the units that passed the gate.
for environment in "$install_directory"/engines/*/; do
  environment=${environment%/}
  [ -d "$environment" ] && [ ! -L "$environment" ] || continue
  mark=cut
  [ ! -e "$environment/.fortyninety-complete" ] || mark=whole
  printf 'environment\t%s\t%s\n' "$environment" "$mark"
done
for unit in "$install_directory"/served/*.service; do
  [ -f "$unit" ] || continue
  name=${unit##*/}
  printf 'served\t%s\t%s\t%s\n' "${name%.service}" "$(stat -c %Y "$unit")" \
    "$(sed -n 's|^ExecStart=\(.*\)/bin/.*|\1|p' "$unit")"
done

# The published snapshot against its own manifest, "<sha256>  <bytes>  <path>" a line, which was the
# last to be written: a file that is newer was touched since.
for kind in snapshot second_copy; do
  eval "folder=\$$kind"
  manifest=$folder/.fortyninety-manifest
  [ -f "$manifest" ] || continue
  expected=$(sed 's/^[0-9a-f]*  //' "$manifest" | sort)
  found=$(cd "$folder" && find . -type f ! -name .fortyninety-manifest -printf '%s  %P\n' | sort)
  if [ "$expected" != "$found" ]; then printf '%s\tdamaged\n' "$kind"
  elif [ -n "$(find "$folder" -type f -newer "$manifest" -print -quit)" ]; then
    printf '%s\ttouched\n' "$kind"
  else printf '%s\twhole\n' "$kind"; fi
done
# What is there of it already, published or on its way, and the other commits, oldest first.
model=${snapshot%/*}
revision=${snapshot##*/}
begun=$(du -scb "$snapshot" "$model/.partial-$revision" "$model/.incoming-$revision" 2>/dev/null |
  sed -n '$s/[^0-9].*//p')
printf 'begun\t%s\n' "${begun:-0}"
find "$model" -mindepth 2 -maxdepth 2 -name .fortyninety-manifest -printf '%T@\tcommit\t%h\n' \
  2>/dev/null | sort -n | cut -f 2-
find "$model" -mindepth 1 -maxdepth 1 -name '.[pil]*-*' ! -name "*-$revision" \
  -printf 'leftover\t%p\n' 2>/dev/null

# The disk that the models go to: the nearest folder that exists says which.
folder=$models_directory
until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
# Of several that are mounted on one folder the last is what is seen.
printf 'filesystem\t%s\t%s\n' "$(findmnt -no FSTYPE -T "$folder" | tail -n 1)" \
  "$(df -PB1 "$folder" | awk 'NR == 2 { print $4 }')"
lsblk -snro TYPE,NAME,ROTA "$(findmnt -nvo SOURCE -T "$folder" | tail -n 1)" 2>/dev/null |
  sed -n 's/^disk \([^ ]*\) \([01]\)$/disk\t\1\t\2/p'

# Who listens on the ports, and the service's own processes.
group=$(systemctl show --property=ControlGroup --value "$service" 2>/dev/null)
[ -z "$group" ] || sed "s/^/service-pid$tab/" "/sys/fs/cgroup$group/cgroup.procs" 2>/dev/null
for port in $ports; do
  ss -Hltnp "sport = :$port" 2>/dev/null | sed "s/^/listener$tab$port$tab/"
done

# The host's own addresses, and what the table of a cell was made from.
ip -o -4 address show scope global 2>/dev/null |
  awk '{ sub("/.*", "", $4); printf "address\t%s\t%s\n", $2, $4 }'
nft list table inet fortyninety_cell 2>/dev/null | sed -n 's/^[[:space:]]*comment "\([0-9a-f]*\)"$/cell-firewall\t\1/p'
exit 0
