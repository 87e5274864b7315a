"""The bridge the hosts hang on, and their way out."""

from __future__ import annotations

import json
from pathlib import Path

from lab import paths
from lab.commands import run, succeeds
from lab.errors import LabError

_TABLE = "fortyninety_lab"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")

_RULES = f"""
table ip {_TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        ip saddr {paths.NETWORK} oifname != "{paths.BRIDGE}" masquerade
    }}
    chain forward {{
        type filter hook forward priority filter;
        iifname "{paths.BRIDGE}" accept
        oifname "{paths.BRIDGE}" ct state established,related accept
        oifname "{paths.BRIDGE}" drop
    }}
}}
"""


def up() -> None:
    """Make the bridge, the masquerade rules and forwarding; what is already there stays."""
    refuse_another_lab()
    if not _link_exists():
        run(["ip", "link", "add", paths.BRIDGE, "type", "bridge"])
        # Says whose bridge this is, so that a lab in another directory refuses to share it.
        run(["ip", "link", "set", paths.BRIDGE, "alias", str(paths.state_directory())])
    run(["ip", "link", "set", paths.BRIDGE, "mtu", str(uplink_mtu()), "up"])
    address = f"{paths.BRIDGE_ADDRESS}/{paths.PREFIX_LENGTH}"
    run(["ip", "address", "replace", address, "dev", paths.BRIDGE])
    _remember_forwarding()
    _FORWARD.write_text("1\n")
    # Adding and deleting first makes loading the rules again the same as loading them once.
    empty = f"table ip {_TABLE} {{}}\ndelete table ip {_TABLE}\n"
    run(["nft", "-f", "-"], input_text=empty + _RULES)


def down() -> None:
    """Undo `up`, as far as it got."""
    if succeeds(["nft", "list", "table", "ip", _TABLE]):
        run(["nft", "delete", "table", "ip", _TABLE])
    for link in _lab_links():
        _delete_link(link)
    remembered = _forwarding_file()
    if remembered.exists():
        _FORWARD.write_text(remembered.read_text())
        remembered.unlink()


def refuse_another_lab() -> None:
    """Raise LabError when the bridge belongs to a lab in another directory."""
    if not _link_exists():
        return
    owner = Path(f"/sys/class/net/{paths.BRIDGE}/ifalias").read_text().strip()
    mine = str(paths.state_directory())
    # No owner: a lab was cut off between making the bridge and naming it, and nothing hangs on it.
    if owner not in ("", mine):
        raise LabError(
            f"the lab in {owner} is up, and a machine holds one lab at a time. "
            f"End it first: FORTYNINETY_LAB_DIR={owner} fortyninety lab down"
        )


def remove_host_link(name: str) -> None:
    """Remove a host's end on the bridge now rather than whenever the kernel gets to it."""
    _delete_link(link_name(name))


def link_name(host: str) -> str:
    """The name of a host's link as the outer machine sees it."""
    return f"f90{host}"


def hardware_address(index: int) -> str:
    """The Ethernet address of a host, the same at every start as that of a real box.

    With a new one the outer machine would send to the old one until its neighbour entry expires,
    most of a minute later. The first byte marks it as locally administered.
    """
    return f"02:f9:0a:5a:00:{index:02x}"


def uplink_mtu() -> int:
    """The packet size of the machine's way out; a larger one on the bridge stalls transfers."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "default"]) or "[]")
    if not routes:
        return 1500  # Ethernet's own; with no way out nothing can be stalled.
    return int(Path(f"/sys/class/net/{routes[0]['dev']}/mtu").read_text())


def name_servers(etc: Path = Path("/etc"), run_directory: Path = Path("/run")) -> list[str]:
    """The resolvers hosts can reach: the machine's, or its upstream ones behind a local stub."""
    for candidate in (etc / "resolv.conf", run_directory / "systemd/resolve/resolv.conf"):
        if candidate.is_file():
            found = [
                words[1]
                for words in map(str.split, candidate.read_text().splitlines())
                if len(words) > 1 and words[0] == "nameserver"
            ]
            reachable = [server for server in found if not server.startswith(("127.", "::1"))]
            if reachable:
                return reachable
    raise LabError(
        "every name server in /etc/resolv.conf is on this machine's loopback, which hosts cannot "
        "reach: name one that is not"
    )


def _delete_link(link: str) -> None:
    """Delete a link, or see it go: the kernel removes a host's own whenever it gets to it."""
    if not succeeds(["ip", "link", "delete", link]) and succeeds(["ip", "link", "show", link]):
        run(["ip", "link", "delete", link])


def _link_exists() -> bool:
    return Path(f"/sys/class/net/{paths.BRIDGE}").exists()


def _lab_links() -> list[str]:
    links = sorted(link.name for link in Path("/sys/class/net").glob("f90lab*"))
    return sorted(links, key=lambda name: name == paths.BRIDGE)


def _forwarding_file() -> Path:
    return paths.state_directory() / "ip_forward"


def _remember_forwarding() -> None:
    remembered = _forwarding_file()
    # Only the first `up` sees the machine's own value.
    if not remembered.exists():
        remembered.parent.mkdir(parents=True, exist_ok=True)
        remembered.write_text(_FORWARD.read_text())
