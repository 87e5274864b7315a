# Everything a deploy needs to know of a host, read in one round trip and changing nothing.
# Set before it runs: files, packages, units, ports, snapshot, second_copy, service, user,
# models_directory, install_directory, tools, engine, interpreter, keyring, patience, gateway,
# gateway_ports, gateway_account, gateway_certificate, front, front_ports, front_certificate,
# front_identity, monitor_identity, whole, in_initramfs; before it stands haproxy.sh.
# Prints one record a line: its kind, then its fields, separated by tabs; the first is `begin`, the
# last is `end`. A missing tool leaves its records out; nothing here may make the whole script fail.
#
# Names, contents and what tools print may be chosen by whoever broke into the engine. Nothing of
# them makes a record or a field: what this script puts together goes through `say`, lines of a tool
# through `lines` or `rows`, names of files are listed only if they are `plain`, and nothing but
# printable ASCII, tabs and ends of lines leaves the host (the last line of this script).
LC_ALL=C
export LC_ALL
tab=$(printf '\t')

# One record of a kind and its fields. A field has neither tabs nor lines.
say() {
  record=$1
  shift
  for field; do
    case $field in *[!\ -~]*) field=$(printf '%s' "$field" | tr -c ' -~' '?') ;; esac
    record=$record$tab$field
  done
  printf '%s\n' "$record"
}

# A record of this kind for each line of a tool, which is its only field. The kind may be followed by
# a first field, with a tab between them.
lines() { sed "s/$tab/ /g; s/^/$1$tab/"; }

# The same for a tool that separates fields by tabs itself.
rows() { sed "s/^/$1$tab/"; }

# Whether a text is made of what names of versions and kernels are made of.
plain() { case $1 in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._+~:-]*) return 1 ;; esac; }

# Whether a Python environment is what the list in its mark says (on_host/seal_environment.py): a
# line of the list that nothing found is like stands for a file that is missing, or has another size,
# mode or owner. No content is read, and no file looked at where it was found whole before ($whole).
sealed_as() {
  mark=$2/.fortyninety-complete
  [ -e "$mark" ] || { echo cut; return; }
  case " $whole " in *" $1 "*) echo whole; return ;; esac
  [ -s "$mark" ] && [ "$(tail -c 1 "$mark" | od -An -tx1)" = ' 0a' ] || { echo other; return; }
  lacking=$(cd "$2" && find . -mindepth 1 ! -path ./.fortyninety-complete \
    \( -type d -printf 'd %m %U %P\n' -o -type l -printf 'l %m %U %s %P\n' \
    -o -printf 'f %m %U %s %P\n' \) | sort | comm -13 - .fortyninety-complete | head -c 1)
  [ -z "$lacking" ] && echo whole || echo other
}

survey() {
# What tools complain of is not read. Not by a redirection of the whole: the shell would keep the
# old one open, and with it the command, for as long as a card does not answer.
exec 2>/dev/null
say begin
( . /etc/os-release
  say os "$ID" "${VERSION_ID:-}" "${VERSION_CODENAME:-}" "$PRETTY_NAME" )
say machine "$(uname -m)"
say uid "$(id -u)"
# What the first processor is called and what it can do, in the kernel's own words.
awk -F '[[:space:]]*: ' '$1 == "model name" { name = $2 }
  $1 == "flags" { gsub("\t", " ", name); gsub("\t", " ", $2); print name "\t" $2; exit }' \
  /proc/cpuinfo | rows processor
read -r boot </proc/sys/kernel/random/boot_id && say boot "$boot"

# The archives that apt is set up with, fetched yet or not, and the file that says so. A repository
# without suites has no component.
apt-get indextargets --no-release-info --format '$(SOURCESENTRY)	$(REPO_URI)	$(RELEASE)	$(COMPONENT)' \
  'Created-By: Packages' | sort -u | awk -F '\t' '{ print $1 "\t" $2 "\t" $3 "\t" $4 }' | rows apt
set -f # the patterns are dpkg's, not the shell's
dpkg-query -W -f '${Package}\t${Version}\t${db:Status-Want}\t${db:Status-Status}\n' \
  $packages 'linux-image-*' 'linux-headers-*' | rows package
set +f
[ -z "$(dpkg --audit)" ] && [ -z "$(ls /var/lib/dpkg/updates)" ] || say dpkg-broken
[ ! -s "$keyring" ] || gpg --show-keys --with-colons "$keyring" |
  awk -F: '$1 == "pub" { key = 1 } $1 == "fpr" && key { print $10; key = 0 }' | lines keyring

# The kernels that can boot, oldest first, and the NVIDIA module that each has. DKMS says its version
# in the name of a link; modinfo would unpack 60 MB for it.
for image in $(find /boot -maxdepth 1 -regextype posix-extended \
  -regex '/boot/vmlinuz-[A-Za-z0-9][A-Za-z0-9._+~-]*' -printf '%f\n' | sort -V); do
  kernel=${image#vmlinuz-}
  module=$(find "/lib/modules/$kernel" \( -name 'nvidia.ko*' -o -name 'nvidia-current.ko*' \) \
    | head -n 1)
  version=
  if [ -n "$module" ]; then
    version=$(readlink "/var/lib/dkms/nvidia"*"/kernel-$kernel-$(uname -m)")
    version=${version%%/*}
    [ -n "$version" ] || version=$(modinfo -F version "$module")
    plain "$version" || version=unknown
  fi
  say kernel "$kernel" "$version"
  # Not by -nt, which counts whole seconds in some shells.
  [ -z "$in_initramfs" ] || [ -z "$(find $in_initramfs -newer "/boot/initrd.img-$kernel")" ] ||
    say initramfs-older "$kernel"
done
# What DKMS made of each version for each kernel: a folder once built, a link once installed, and the
# log of a build where one failed.
for built in /var/lib/dkms/nvidia*/[0-9]*/*/"$(uname -m)"/module; do
  [ -d "$built" ] || continue
  kernel=${built%/*/module}
  version=${kernel%/*}
  mark=built
  [ ! -e "${version%/*}/kernel-${kernel##*/}-$(uname -m)" ] || mark=installed
  version=${version##*/}
  kernel=${kernel##*/}
  ! plain "$version" || ! plain "$kernel" || say dkms "$version" "$kernel" "$mark"
done
for log in /var/lib/dkms/nvidia*/[0-9]*/build/make.log; do
  [ -f "$log" ] || continue
  version=${log%/build/make.log}
  version=${version##*/}
  kernel=$(sed -n 's/^DKMS .*for kernel \([^ ]*\).*/\1/p' "$log" | head -n 1)
  plain "$kernel" || kernel=
  ! plain "$version" || say dkms "$version" "$kernel" failed
done
# What the boot loader starts: GRUB's menu and the entry that was saved or asked for once, or
# systemd-boot's own list.
if [ -r /boot/grub/grub.cfg ]; then
  grep -E '^[[:space:]]*(set default=|submenu |menuentry |linux[a-z]*[[:space:]]|})' \
    /boot/grub/grub.cfg | lines grub
  grep -a -E '^(saved_entry|next_entry)=.' /boot/grub/grubenv | lines grub-env
elif [ -d /boot/loader/entries ] || [ -d /efi/loader/entries ] || [ -d /boot/efi/loader/entries ]; then
  entries=$(bootctl --json=short --no-pager list | tr '\n\t' '  ')
  [ -z "$entries" ] || say boot-entries "$entries"
fi

# Cards as the bus shows them, before any driver: vendor 10de, display or 3D controllers.
for device in /sys/bus/pci/devices/*; do
  read -r vendor <"$device/vendor" || continue
  [ "$vendor" = 0x10de ] || continue
  read -r class <"$device/class"
  case $class in 0x0300* | 0x0302*) ;; *) continue ;; esac
  read -r model <"$device/device"
  say pci "${device##*/}" "$model"
done
[ ! -d /sys/module/nouveau ] || say nouveau

# The driver in memory, and the one that programs load, by the name of the file behind its soname.
loaded=
read -r loaded </sys/module/nvidia/version ||
  loaded=$(sed -n 's/^NVRM version:.* \([0-9][0-9]*\.[0-9.]*\) .*/\1/p' /proc/driver/nvidia/version)
[ -z "$loaded" ] || say loaded "$loaded"
for library in libcuda.so.1 libnvidia-ml.so.1; do
  for folder in /usr/lib/x86_64-linux-gnu /usr/lib64; do
    file=$(readlink -f "$folder/$library") && [ -f "$file" ] || continue
    file=${file##*.so.}
    plain "$file" || file=unknown
    say library "${library%.1}" "$file"
    break
  done
done

# Whether the firmware lets in only signed modules, and knows the key that DKMS signs with.
secure=$(mokutil --sb-state) || secure=
[ -n "$secure" ] || case $(od -An -tu1 -j4 -N1 \
  /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c) in
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
  say secure-boot "$mark" ;;
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
    *) head -c 100000 "$answer/said" ;;
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
    printf '%s\n' "$cards" | lines gpu
  else
    say gpu-error "$(printf '%s' "$cards" | head -c 1000 | tr '\n\t' '  ')"
  fi
fi

[ -z "$files" ] || {
  stat --printf '%n\t%F\t%a\t%U\t%G\n' $files | rows stat
  sha256sum $files | sed -n 's/^\([0-9a-f]*\)  /\1\t/p' | rows sha256
  for file in $files; do
    [ ! -L "$file" ] || say link "$file" "$(readlink "$file")"
  done
}

say user "$(getent passwd "$user")"
groups=$(id -Gn -- "$user") && say groups "$groups"
systemctl show --property=Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,WantedBy \
  $units | lines unit
# What the service was last started with, as root noted it before the start of this invocation. Its
# own environment says nothing: a process may overwrite that.
invocation=$(systemctl show --property=InvocationID --value "$service")
if [ -n "$invocation" ] && read -r started configuration rest <"/run/fortyninety/$service" &&
  [ "$started" = "$invocation" ]; then
  say running "$configuration"
fi

# The engine environments by their names, whole or cut off midway, and the units that passed the
# gate, each with when and the name of its environment. What is named otherwise is not ours.
digits='[0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
for environment in "$install_directory"/engines/*-$digits$digits$digits/; do
  environment=${environment%/}
  name=${environment##*/}
  case $name in [!A-Za-z0-9]* | *[!A-Za-z0-9.+-]*) continue ;; esac
  [ -d "$environment" ] && [ ! -L "$environment" ] || continue
  mark=cut
  [ ! -e "$environment/.fortyninety-complete" ] || mark=whole
  say environment "$name" "$mark"
done
# Those that are planned, file by file; uv's build of Python is what its link points into.
say sealed tools "$(sealed_as tools "$tools")"
say sealed engine "$(sealed_as engine "$engine")"
build=$(readlink "$interpreter")
say sealed python "$(sealed_as python "${build%/bin/*}")"
# Named by a digest of themselves without it (plan/unit.py): one that was changed is none.
for unit in "$install_directory"/served/$digits$digits$digits$digits.service; do
  [ -f "$unit" ] && [ ! -L "$unit" ] || continue
  name=${unit##*/}
  name=${name%.service}
  digest=$(head -c 100000 "$unit" | sed "s/$name//g" | sha256sum)
  case $digest in "$name"*) ;; *) say altered "$name"; continue ;; esac
  engine=$(head -c 100000 "$unit" | sed -n \
    "s|^ExecStart=$install_directory/engines/\([A-Za-z0-9][A-Za-z0-9.+-]*-[0-9a-f]\{12\}\)/bin/.*|\1|p" |
    head -n 1)
  say served "$name" "$(stat -c %Y "$unit")" "$engine"
done

# The published snapshot against its own manifest, "<sha256>  <bytes>  <path>" a line, which was the
# last to be written: a file that is newer was touched since.
for kind in snapshot second_copy; do
  eval "folder=\$$kind"
  manifest=$folder/.fortyninety-manifest
  [ -f "$manifest" ] || continue
  expected=$(sed 's/^[0-9a-f]*  //' "$manifest" | sort)
  found=$(cd "$folder" && find . -type f ! -name .fortyninety-manifest -printf '%s  %P\n' | sort)
  if [ "$expected" != "$found" ]; then say "$kind" damaged
  elif [ -n "$(find "$folder" -type f -newer "$manifest" -print -quit)" ]; then say "$kind" touched
  else say "$kind" whole; fi
  say manifest "$kind" "$(sha256sum <"$manifest" | cut -d ' ' -f 1)"
done
# What is there of it already, published or on its way, and the commits, oldest first.
model=${snapshot%/*}
revision=${snapshot##*/}
# Whether the service's account may not read it, or not come to it.
[ ! -d "$snapshot" ] || [ -z "$( { find "$models_directory" "$model" -maxdepth 0 ! -perm -001
  find "$snapshot" \( -type d ! -perm -005 -o -type f ! -perm -004 \); } | head -c 1)" ] ||
  say snapshot-closed
begun=$(du -scb "$snapshot" "$model/.partial-$revision" "$model/.incoming-$revision" |
  sed -n '$s/[^0-9].*//p')
say begun "${begun:-0}"
find "$model" -mindepth 2 -maxdepth 2 -regextype posix-extended \
  -regex '.*/[0-9a-f]{40}/\.fortyninety-manifest' -printf '%T@ %P\n' |
  sort -n | sed -n 's|^[^ ]* \([0-9a-f]*\)/.*|\1|p' | lines commit
find "$model" -mindepth 1 -maxdepth 1 -regextype posix-extended \
  -regex '.*/\.(partial|incoming|lock)-[0-9a-f]{40}' ! -name "*-$revision" -printf '%f\n' |
  lines leftover

# The folders on the way to where this project puts things, those themselves included: a line each
# for what is there, from the top.
on_the_way() {
  for above in $(folder=$2; while [ "$folder" != / ] && [ -n "$folder" ]; do
    echo "$folder"; folder=${folder%/*}; done | sort); do
    [ -e "$above" ] || [ -L "$above" ] || break
    say place "$1" "$above" "$(stat -c %F "$above")" "$(stat -c %a "$above")" "$(stat -c %u "$above")"
  done
}
on_the_way install_directory "$install_directory"
on_the_way models_directory "$models_directory"
[ -z "$second_copy" ] || on_the_way second_copy_directory "${second_copy%/*/*}"
folder=$install_directory
until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
say install-options "$(findmnt -no OPTIONS -T "$folder" | tail -n 1)"

# The disk that the models go to: the nearest folder that exists says which.
folder=$models_directory
until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
# Of several that are mounted on one folder the last is what is seen.
say filesystem "$(findmnt -no FSTYPE -T "$folder" | tail -n 1)" \
  "$(df --block-size=1 --output=avail "$folder" | sed -n '2 { s/ //g; p; }')"
lsblk -snro TYPE,NAME,ROTA "$(findmnt -nvo SOURCE -T "$folder" | tail -n 1)" |
  sed -n 's/^disk \([^ ]*\) \([01]\)$/\1\t\2/p' | rows disk

# The sockets that listen on the ports, by the kernel's own table, and whether a process in the
# service's control group has them open. What ss says of their processes is for people alone: a
# process chooses its name, and may put another's number into it.
# Arguments: what the names of the records begin with, the service, its port.
listening() {
  prefix=$1
  port=$3
  group=$(systemctl show --property=ControlGroup --value "$2")
  set --
  [ -z "$group" ] || set -- $(find "/sys/fs/cgroup$group" -name cgroup.procs -exec cat {} + |
    sed -n 's|^[1-9][0-9]*$|/proc/&/fd|p')
  for socket in $(awk -v "port=:$(printf %04X "$port")$" '$4 == "0A" && $2 ~ port { print $10 }' \
    /proc/net/tcp /proc/net/tcp6); do
    owner=other
    [ "$#" = 0 ] || [ -z "$(find "$@" -lname "socket:\[$socket\]" -print -quit)" ] || owner=service
    say "${prefix}socket" "$port" "$socket" "$owner"
  done
  ss -Hltnp "sport = :$port" | lines "${prefix}listener$tab$port"
}
for port in $ports; do listening '' "$service" "$port"; done

[ ! -e /proc/net/if_inet6 ] || say ipv6
# Until when the box gets nothing new.
drained=/var/lib/fortyninety/drained.json
[ ! -f "$drained" ] || say drained "$(head -c 4000 "$drained" | tr -d '\t\n')"
account=$(getent passwd "$gateway_account") && say gateway-account "$account"
haproxy gateway "$gateway" "$gateway_ports"
certificate_in gateway-certificate "$gateway_certificate"
if [ -n "$front" ]; then
  haproxy front "$front" "$front_ports"
  certificate_in front-certificate "$front_certificate"
  certificate_in front-identity "$front_identity"
fi
certificate_in monitor-identity "$monitor_identity"

# The host's own addresses, and what the table of a cell was made from.
ip -o -4 address show scope global |
  awk '{ sub("/.*", "", $4); print $2 "\t" $4 }' | rows address
nft list table inet fortyninety_cell |
  sed -n 's/^[[:space:]]*comment "\([0-9a-f]*\)"$/\1/p' | lines cell-firewall

# Where SSH is let in: what its server is set to and its socket holds, and the port that this came by,
# which stands in the environment of the login, also where sudo keeps it from this script.
came=
process=$$
while [ -z "$came" ] && [ "${process:-0}" -gt 1 ]; do
  came=$(tr '\0' '\n' <"/proc/$process/environ" | sed -n 's/^SSH_CONNECTION=//p' | head -n 1)
  process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status")
done
{ PATH=$PATH:/usr/sbin sshd -T | sed -n 's/^port //p; s/^listenaddress .*:\([0-9]*\)$/\1/p'
  for unit in ssh.socket sshd.socket; do
    ! systemctl is-active "$unit" >/dev/null || systemctl show --property=Listen --value "$unit" |
      sed -n 's/^\(.*:\)\{0,1\}\([0-9][0-9]*\) (Stream)$/\2/p'
  done
  printf '%s\n' "$came" | cut -d ' ' -f 4
} | grep -Ex '[1-9][0-9]{0,4}' | sort -nu | lines ssh-port
[ -z "$came" ] || say came-from "${came%% *}"
# The table of this project's firewall: what it was made from, and whether it is as the kernel listed
# it when it was loaded; then whoever else filters here.
digest=$(nft list table inet fortyninety_firewall |
  sed -n 's/^[[:space:]]*comment "\([0-9a-f]*\)"$/\1/p' | head -n 1)
if [ -n "$digest" ]; then
  mark=changed
  read -r loaded </run/fortyninety/firewall &&
    [ "$loaded" = "$(nft --stateless list table inet fortyninety_firewall | sha256sum)" ] && mark=same
  say firewall "$digest" "$mark"
fi
! grep -qx 'ENABLED=yes' /etc/ufw/ufw.conf || say other-firewall ufw
for unit in firewalld docker; do
  ! systemctl is-active "$unit" >/dev/null || say other-firewall "$unit"
done
nft list tables | grep -v ' fortyninety_' | head -n 20 | lines other-firewall

# Who has the lease of the host, or had it last (fortyninety/on_host/hold_lease.sh).
if read -r holder </run/fortyninety/holder; then
  process=${holder%% *}
  mark=free
  case $process in
    '' | *[!0-9]*) ;;
    *) ! grep -q '^lock:' "/proc/$process/fdinfo/9" || mark=held ;;
  esac
  say lease "$mark" "$holder"
fi
say end
}
survey | tr -c '\t\n -~' '?' | head -c 4000000
exit 0
