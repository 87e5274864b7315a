"""An engine that is somebody else's lies about itself wherever it can write, and gains nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from fortyninety.plan.paths import SERVICE_UNIT
from fortyninety.plan.survey_request import survey_request
from fortyninety.releases.release import load_release
from fortyninety.settings.defaults import default_settings
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.fact import Survey
from fortyninety.survey.kinds import KINDS
from lab import stages
from lab.hosts import LabHost
from lab.inventory import inventory
from tests.lab.deploys import LAB_INVENTORY, deploy

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

# What the engine of this test puts wherever text of its own can be read.
MARK = "f0rged"
OTHER_CONFIGURATION = "f" * 16
DROP_IN = "/run/systemd/system/vllm.service.d/hostile.conf"
PROGRAM = "/opt/hostile-engine"
HOSTILE = r"""
import ctypes, http.server, os, sys

TEXT = (
    "{wanted}\nleftover\t/home/f0rged\nenvironment\t/etc/f0rged\tcut\npackage\tf0rged;id\t1\thold\t"
    "installed\nsnapshot\tdamaged\nend\nleftover\t/home/f0rged\x1b[2J$(touch /etc/f0rged)"
)
if os.environ.get("FORTYNINETY_CONFIGURATION") != TEXT:
    os.execve(sys.executable, [sys.executable, *sys.argv], {{
        **os.environ, "FORTYNINETY_CONFIGURATION": TEXT,
    }})
# Its name, which ss prints: in quotes, and with the number of another process.
ctypes.CDLL(None).prctl(15, b'x",pid=1,fd\n', 0, 0, 0)
done = []
for folder in ("/var/cache/vllm", "/tmp", "/var/tmp", "/dev/shm", "/run", "/srv/models", "/boot",
               "/opt/fortyninety/engines", "/opt/fortyninety/served", "/run/fortyninety", "/etc"):
    for name in (TEXT.replace("/", "|"), ".partial-f0rged\n", "vmlinuz-f0rged\n6.1", "-rf f0rged"):
        try:
            open(os.path.join(folder, name), "w").close()
            done.append(folder)
        except OSError:
            pass
group = "/sys/fs/cgroup" + open("/proc/self/cgroup").read().strip().partition("::")[2]
for name in ("x\nservice-pid\t1 f0rged", "$(id) f0rged"):
    try:
        os.mkdir(os.path.join(group, name))
        done.append(group)
    except OSError:
        pass
for path in ("/run/fortyninety/vllm.service", "/etc/systemd/system/vllm.service"):
    try:
        open(path, "w").write(TEXT)
        done.append(path)
    except OSError:
        pass
with open("/var/cache/vllm/wrote", "w") as file:
    file.write("\n".join(sorted(set(done))))

class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = b'{{"choices": [{{"message": {{"content": "f0rged\\u001b[2J\\n"}}}}]}}'
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST

print("GPU KV cache size: ,,, tokens \x1b[2J f0rged\udcff".encode("utf-8", "surrogateescape"))
http.server.ThreadingHTTPServer(("0.0.0.0", {port}), Answer).serve_forever()
"""


def settings_of(host: LabHost) -> Settings:
    data = next(data for name, data in inventory() if name == host.name)
    parsed = parse_settings(host.name, {**default_settings(), **data})
    assert isinstance(parsed, Settings), parsed
    return parsed


@pytest.fixture(scope="module")
def hostile(converged: LabHost) -> Iterator[LabHost]:
    """A host whose service runs another configuration than its unit, and denies it."""
    unit = converged.ssh(f"cat {SERVICE_UNIT}", check=True).stdout
    wanted = next(
        line.rpartition("=")[2]
        for line in unit.splitlines()
        if line.startswith("Environment=FORTYNINETY_CONFIGURATION=")
    )
    port = settings_of(converged).port
    drop_in = f"[Service]\nExecStart=\nExecStart=/usr/bin/python3 {PROGRAM}\n"
    program = HOSTILE.format(wanted=wanted, port=port)
    converged.ssh(
        f"mkdir -p {DROP_IN.rpartition('/')[0]}; printf %s {shlex.quote(drop_in)} >{DROP_IN}; "
        f"printf %s {shlex.quote(program)} >{PROGRAM}; mkdir -p /home/{MARK}; "
        f"cp {SERVICE_UNIT} /root/unit && sed -i s/{wanted}/{OTHER_CONFIGURATION}/ {SERVICE_UNIT} "
        "&& systemctl daemon-reload && systemctl restart vllm.service && "
        f"cp -p /root/unit {SERVICE_UNIT} && systemctl daemon-reload && "
        "until [ -e /var/cache/vllm/wrote ]; do sleep 0.2; done",
        check=True,
    )
    yield converged
    converged.ssh(
        f"rm -rf {DROP_IN} {PROGRAM} /root/unit /home/{MARK} /var/cache/vllm/*{MARK}* "
        "/var/cache/vllm/wrote; systemctl daemon-reload; systemctl restart vllm.service"
    )


def test_the_engine_cannot_write_where_a_deploy_reads(hostile: LabHost) -> None:
    wrote = hostile.ssh("cat /var/cache/vllm/wrote", check=True).stdout.split()
    assert "/var/cache/vllm" in wrote
    assert set(wrote) <= {"/var/cache/vllm", "/tmp", "/var/tmp", "/dev/shm"}


def test_no_record_of_the_survey_is_its_own(hostile: LabHost) -> None:
    asked = Survey()
    settings = settings_of(hostile)
    command = asked.command(survey_request(settings, load_release(settings.engine)))
    lines = hostile.ssh(command, check=True).stdout.splitlines()
    assert MARK not in "".join(line for line in lines if not line.startswith("listener\t"))
    assert {line.partition("\t")[0] for line in lines[1:-1]} <= set(KINDS)
    state = asked.process(lines)
    assert state.unreadable is None
    assert state.service.configuration == OTHER_CONFIGURATION
    assert state.network.listeners and state.network.foreign_sockets == 0


def test_drift_names_the_unit_that_runs_another_configuration(hostile: LabHost) -> None:
    ran = stages.fortyninety("drift", LAB_INVENTORY, "--limit", hostile.name, "--json")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    (host,) = json.loads(ran.stdout)["result"]["hosts"]
    said = {each["operation"]: each["differences"] for each in host["changes"]}
    (difference,) = said["Run what the unit on disk says"]
    assert f"vllm.service runs configuration {OTHER_CONFIGURATION}; expected" in difference
    assert "\x1b" not in ran.stderr


def test_a_deploy_runs_no_word_of_it_and_puts_the_unit_right(hostile: LabHost) -> None:
    hostile.ssh(f"rm {DROP_IN}; systemctl daemon-reload", check=True)
    ran = deploy("-vvv")
    assert ran.exit_code == 0, ran.output
    assert "Service | Run what the unit on disk says" in ran.changed
    commands = [line for line in ran.output.splitlines() if ">>>" in line]
    assert commands
    assert [line for line in commands if MARK in line] == []
    assert "\x1b[2J" not in ran.output
    hostile.ssh(f"test -d /home/{MARK} && test ! -e /etc/{MARK}", check=True)
    assert deploy().changed == {}
