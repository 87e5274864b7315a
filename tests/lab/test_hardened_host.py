"""A host that a hardening role has been over: strict umasks, and nothing executed from /tmp."""

from __future__ import annotations

import shlex

import pytest

from lab import hosts
from lab.hosts import LabHost
from lab.tiny_model.choice import choose
from tests.lab.deploys import NOT_IN_THE_LAB, deploy, host_tests, not_shown_by, skipped

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab"), pytest.mark.exhaustive]

ENVIRONMENTS = "/opt/fortyninety/engines"
# As dev-sec's roles and the CIS benchmark leave a host, with the strictest umask of each. A unit of
# its own mounts, since systemd-nspawn brings a /tmp of its own before fstab is read.
HARDENED = {
    "/etc/systemd/system/hardening.service": """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/hardening
[Install]
WantedBy=sysinit.target
""",
    "/usr/local/sbin/hardening": """\
#!/bin/sh
for folder in /tmp /var/tmp /dev/shm; do
  mountpoint -q $folder || mount -t tmpfs -o mode=1777 tmpfs $folder
  mount -o remount,nosuid,nodev,noexec $folder
done
""",
    "/etc/profile.d/umask.sh": "umask 077\n",
    "/etc/pam.d/common-session": """\
session [default=1] pam_permit.so
session requisite pam_deny.so
session required pam_permit.so
session optional pam_umask.so umask=0077
session required pam_unix.so
""",
}
COMMANDS = (
    "chmod 755 /usr/local/sbin/hardening",
    "sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs",
    "echo 'umask 077' >>/root/.bashrc",
    "sed -i '1i umask 077' /root/.bashrc",
    "echo 'UsePAM yes' >/etc/ssh/sshd_config.d/00-pam.conf",
    "systemctl enable --quiet hardening",
)


@pytest.fixture(scope="module")
def host(lab: None) -> LabHost:
    """A bare host, hardened."""
    del lab
    (bare,) = hosts.up(1, model=choose(None).model.name)
    for path, text in HARDENED.items():
        bare.ssh(f"cat >{shlex.quote(path)}", input_text=text, check=True)
    for command in COMMANDS:
        bare.ssh(command, check=True)
    bare.reboot()
    return bare


def is_hardened(host: LabHost) -> bool:
    """Whether a login has the strict umask, and nothing runs from /tmp."""
    script = "umask; cp /bin/true /tmp/true && /tmp/true; echo $?; rm -f /tmp/true"
    umask, ended_with = host.ssh(script).stdout.split()
    return umask == "0077" and ended_with == "126"


def test_it_converges_from_bare_and_is_what_the_host_tests_expect(host: LabHost) -> None:
    assert is_hardened(host)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert is_hardened(host), "nothing of it was switched off"
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output
    found = host_tests()
    assert found.exit_code == 0, found.output
    assert skipped(found, *NOT_IN_THE_LAB, *not_shown_by(host)) == []


def test_an_environment_that_a_strict_umask_closed_is_opened_and_not_made_anew(
    host: LabHost,
) -> None:
    written = f"stat --format=%y {ENVIRONMENTS}/*-*/pyvenv.cfg"
    before = host.ssh(written, check=True).stdout
    # The engine's account reads nothing of it any more, and the service does not come up.
    host.ssh(f"chmod -R go-rwx {ENVIRONMENTS} && systemctl restart --no-block vllm", check=True)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert any("Install vLLM" in name for name in ran.changed), ran.changed
    assert host.ssh(written, check=True).stdout == before
    closed = f"find {ENVIRONMENTS}/ ! -type l ! -name '.*' ! -perm -004 -print -quit"
    assert host.ssh(closed, check=True).stdout == ""
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output
