"""Check the account that the service may run as: never root's, the system's or another's."""

from __future__ import annotations

import re

# As useradd takes it. Source: shadow's is_valid_user_name(), in lower case.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")

# Accounts and groups that Debian and Ubuntu are made with, or their packages make: what is theirs
# an engine must not have, and a group of the name (sudo, docker, disk) can be as good as root.
# Source: /usr/share/base-passwd/{passwd,group}.master, and the packages' maintainer scripts.
RESERVED = frozenset(
    {
        # base-passwd's accounts
        *("root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp"),
        *("proxy", "www-data", "backup", "list", "irc", "gnats", "nobody"),
        # its groups
        *("adm", "tty", "disk", "kmem", "dialout", "fax", "voice", "cdrom", "floppy", "tape"),
        *("sudo", "audio", "dip", "operator", "src", "shadow", "utmp", "video", "sasl", "plugdev"),
        *("staff", "users", "nogroup", "input", "kvm", "render", "sgx", "wheel", "netdev"),
        # packages' accounts and groups
        *("admin", "avahi", "bluetooth", "ceph", "chrony", "colord", "crontab", "dhcpcd"),
        *("dnsmasq", "docker", "fwupd-refresh", "gdm", "geoclue", "ftp", "haproxy", "incus"),
        *("incus-admin", "kernoops", "landscape", "libvirt", "libvirt-qemu", "libvirt-dnsmasq"),
        *("lightdm", "lpadmin", "lxd", "mdns", "memcache", "messagebus", "mysql", "nginx", "ntp"),
        *("ntpsec", "nvidia-persistenced", "nvpd", "openvpn", "podman", "polkitd", "pollinate"),
        *("postfix", "postdrop", "postgres", "prometheus", "pulse", "rabbitmq", "redis", "rpc"),
        *("rtkit", "saned", "sambashare", "sshd", "ssl-cert", "sssd", "statd", "stunnel4"),
        *("syslog", "tcpdump", "tss", "unbound", "usbmux", "uuidd", "wireshark", "whoopsie"),
        # what images make for people
        *("debian", "pi", "ubuntu", "vagrant"),
    }
)
# Whole families: systemd's, this project's other accounts, and what SSH and ssh-agent go by.
_FAMILIES = ("systemd-", "fortyninety-", "libvirt-", "ssh-", "gnome-", "debian-")


def account_problem(name: str) -> str | None:
    """What the name of the service's account must be and `name` is not; None where it is right."""
    if _NAME.fullmatch(name) is None:
        return (
            "the name of a Linux account: lower-case letters, digits, '-' and '_', a letter first "
            "('_' begins those of packages), at most 31"
        )
    if name == "root":
        return "an account of the service's own: what gets into the engine would own the host"
    if name in RESERVED or name.startswith(_FAMILIES):
        return "an account of the service's own: this name belongs to the system or to a package"
    return None
