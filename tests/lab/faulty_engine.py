"""Give a box a plugin with which the real engine does badly, once it has another configuration.

vLLM loads plugins of whatever distribution is on its path, in each of its processes.
"""

from __future__ import annotations

import shlex

from lab.hosts import LabHost

_FOLDER = "/opt/faulty-engine"
_DROP_IN = "/run/systemd/system/vllm.service.d/faulty.conf"
_UNIT = "/etc/systemd/system/vllm.service"
_METADATA = "Metadata-Version: 2.1\nName: faulty\nVersion: 1\n"
_ENTRY = "[vllm.general_plugins]\nfaulty = faulty:register\n"
_PLUGIN = """
import os, re, time

def slower(step):
    def twice_as_long(self):
        began = time.monotonic()
        done = step(self)
        time.sleep(time.monotonic() - began)
        return done
    return twice_as_long

def hung(step):
    def for_ever(self):
        while True:
            time.sleep(60)
    return for_ever

def of_garbage(app):
    async def call(self, scope, receive, send):
        async def forged(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [
                    each for each in message["headers"] if each[0].lower() != b"content-length"]}
            if message["type"] == "http.response.body":
                body = re.sub(rb'tokens"(: ?)\\d+', rb'tokens"\\1-1e400', message["body"])
                message = {**message, "body": re.sub(rb"(?m)^(vllm:.*) .*$", rb"\\1 -NaN", body)}
            await send(message)
        await app(self, scope, receive, forged)
    return call

def register():
    if os.environ.get("FORTYNINETY_CONFIGURATION") == "GOOD":
        return
    if "HOW" == "garbage":
        from starlette.applications import Starlette
        Starlette.__call__ = of_garbage(Starlette.__call__)
        return
    from vllm.v1.engine.core import EngineCore
    for name in ("step", "step_with_batch_queue"):
        change = {"slow": slower, "hang": hung}["HOW"]
        setattr(EngineCore, name, change(getattr(EngineCore, name)))
"""


def make_faulty(box: LabHost, how: str) -> None:
    """Have its engine do badly from the next configuration on: "hang", "slow" or "garbage"."""
    good, path = _of_unit(box, "FORTYNINETY_CONFIGURATION"), _of_unit(box, "PYTHONPATH")
    files = {
        f"{_FOLDER}/faulty.py": _PLUGIN.replace("GOOD", good).replace("HOW", how),
        f"{_FOLDER}/faulty-1.dist-info/METADATA": _METADATA,
        f"{_FOLDER}/faulty-1.dist-info/entry_points.txt": _ENTRY,
        _DROP_IN: f"[Service]\nEnvironment=PYTHONPATH={_FOLDER}:{path}\n",
    }
    put = [
        f"mkdir -p {path.rpartition('/')[0]} && printf %s {shlex.quote(text)} >{path}"
        for path, text in files.items()
    ]
    box.ssh(" && ".join([*put, "systemctl daemon-reload"]), check=True)


def _of_unit(box: LabHost, variable: str) -> str:
    return box.ssh(f"sed -n 's/^Environment={variable}=//p' {_UNIT}", check=True).stdout.strip()


def make_sound(box: LabHost) -> None:
    """Take that away again."""
    box.ssh(f"rm -rf {_FOLDER} {_DROP_IN}; systemctl daemon-reload", check=True)
