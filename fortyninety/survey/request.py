"""Say what to look at on a host beyond what is looked at on every host."""

from __future__ import annotations

from dataclasses import dataclass

# Narrow: libnvjitlink-12-4, for one, is of a toolkit.
DRIVER_NAMES = (
    "*nvidia*",
    "libcuda1",
    "libcudadebugger1",
    "libnvcuvid1",
    "libnvoptix1",
    "cuda-drivers*",
)


@dataclass(frozen=True)
class SurveyRequest:
    """What to look at on a host beyond what is looked at on every host. Paths have no blanks.

    `packages` may hold patterns; `keyring` is the keyring of a repository; `patience` is how long
    nvidia-smi may take, in seconds: with persistence mode off and eight cards it loads for some.
    `gateway` is the gateway's unit, and `gateway_ports` those that it is to have, if any; `front`
    is the front's, and empty where the host is to be none, as is `monitor_identity`.
    `whole` names those of "tools", "engine" and "python" whose files were compared with their marks
    before, and are not compared again: an engine has some 60,000. `in_initramfs` are files that an
    initramfs is to hold as they are.
    """

    files: tuple[str, ...]
    packages: tuple[str, ...]
    units: tuple[str, ...]
    port: int
    service: str
    user: str
    snapshot: str
    models_directory: str
    install_directory: str
    tools: str = ""
    engine: str = ""
    interpreter: str = ""
    second_copy: str = ""
    keyring: str = ""
    gateway: str = ""
    gateway_ports: tuple[int, ...] = ()
    gateway_account: str = ""
    gateway_certificate: str = ""
    front: str = ""
    front_ports: tuple[int, ...] = ()
    front_certificate: str = ""
    front_identity: str = ""
    monitor_identity: str = ""
    patience: int = 60
    whole: tuple[str, ...] = ()
    in_initramfs: tuple[str, ...] = ()
