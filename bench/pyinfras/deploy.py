"""Compare a host by pyinfra's own operations with what `bench.wanted` wrote down of it.

Run by `bench.pyinfra_beside`, which names the file in FORTYNINETY_WANTED. Compares less than a
deploy of this project does: docs/design.md says what pyinfra has no word for.
"""

import json
import os
from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

ROOT = "root"

written = json.loads(Path(os.environ["FORTYNINETY_WANTED"]).read_text())
wanted = written["all"]["hosts"][host.name]

for each in wanted["folders"]:
    files.directory(
        name=f"Folders | {each['path']}",
        path=each["path"],
        mode=each["mode"][1:],
        user=ROOT,
        group=ROOT,
    )
for each in [*wanted["configurations"], *wanted["programs"]]:
    files.put(
        name=f"Files | {each['dest']}",
        src=each["src"],
        dest=each["dest"],
        mode=each["mode"][1:],
        user=ROOT,
        group=ROOT,
    )
for each in wanted["links"]:
    files.link(
        name=f"Links | {each['dest']}",
        path=each["dest"],
        target=each["src"],
        user=ROOT,
        group=ROOT,
    )
apt.packages(
    # It knows a version as a whole, and not the beginning of one.
    name="Packages | all",
    packages=sorted({each.partition("=")[0] for each in wanted["packages"]}),
    no_recommends=True,
)
for unit in wanted["units"]:
    systemd.service(name=f"Units | {unit}", service=unit, running=True, enabled=True)
server.user(
    name="Account | the service's",
    user=wanted["service_user"],
    system=True,
    create_home=False,
    shell="/usr/sbin/nologin",
)
