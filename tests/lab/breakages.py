"""What goes wrong on a box that was right: every way that the host tests are held to.

What people, their cron jobs, other people's tools and worn parts do to a host, as shell commands
run on it as root. Each says what a failing host test must name as the cause, what `fortyninety
drift` must show, and whether a deploy puts it right; where it does not, why not, and what does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.gpu import control
from lab.gpu.control import Call

# By what they are, and not by the links to them, which are among what breaks.
ENGINE = "$(ls -d /opt/fortyninety/engines/[0-9]*/ | head -n 1)"
PACKAGES = f"{ENGINE}/lib/python3.11/site-packages"
SNAPSHOT = "$(ls -d /srv/models/*/[0-9a-f][0-9a-f]*/ | head -n 1)"
UNIT = "/etc/systemd/system/vllm.service"
POWER_UNIT = "/etc/systemd/system/fortyninety-power-limit.service"
LIBRARY = "$(readlink -f /usr/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.1)"


@dataclass(frozen=True)
class Breakage:
    """One thing that goes wrong on a converged host.

    `says` is a regular expression that the message of a failing host test must match (None: the box
    is right without it until something is to be installed, and drift alone shows it), and
    `drift_says` one that a difference must match which drift shows; None where drift shows nothing.
    `undo` puts right what a deploy does not, and `why_not` says why it does not; where a deploy
    does, both are empty. `deploy_with` are options of that deploy. `restarts` where it shows only
    once the engine is started with it. Breakages of one `batch` can be there together without
    hiding each other.
    """

    name: str
    batch: str
    how: str
    says: str | None
    drift_says: str | None = None
    undo: str = ""
    why_not: str = ""
    deploy_with: tuple[str, ...] = ()
    restarts: bool = False
    from_outside: Callable[[str], None] | None = None
    undo_from_outside: Callable[[str], None] | None = None

    @property
    def mended(self) -> bool:
        """Whether a deploy puts it right."""
        return not self.undo and self.undo_from_outside is None


def _drop_in(unit: str, text: str) -> str:
    folder = f"/etc/systemd/system/{unit}.d"
    return f"mkdir -p {folder}; printf '[Service]\\n{text}\\n' > {folder}/zz-by-hand.conf"


def _no_drop_in(unit: str) -> str:
    return f"rm -rf /etc/systemd/system/{unit}.d; systemctl daemon-reload"


OVERRIDES = "a drop-in is the operator's own, and respected"
NOT_OWNED = "a deploy owns its own files and packages, and not what others add to the host"
UNSEEN = "a deploy believes an environment that carries its mark; hashing it takes the host tests"

# Each of these ends or hides the service or its cards, or has a deploy refused, so that it can be
# there only by itself, and a minute each is too long for the tests: they are for
# `python -m bench.breakages`.
# What is said of them here was seen of `masked`, and not yet of the others.
ALONE = ("stopped", "masked", "hung", "port", "clock", "card", "silent", "nouveau", "account")

BREAKAGES = (
    # --- Files and packages: nothing restarts, and all of it can be wrong at once.
    Breakage(
        "driver packages not held",
        "files",
        "apt-mark unhold nvidia-kernel-dkms libcuda1 libnvidia-ml1 nvidia-smi",
        r"nvidia-kernel-dkms[^:]*: not held; expected `apt-mark hold`",
        r"nvidia-kernel-dkms is not held",
    ),
    Breakage(
        "the driver's pin removed",
        "files",
        "rm /etc/apt/preferences.d/fortyninety-driver",
        r"apt gives \S+ \S+ the priority \d+; expected it pinned",
        r"preferences\.d/fortyninety-driver is missing",
    ),
    Breakage(
        "CUDA toolkit not held",
        "files",
        "apt-mark unhold nvidia-cuda-toolkit",
        r"nvidia-cuda-toolkit.*expected (it|each) to be held",
        r"nvidia-cuda-toolkit is not held",
    ),
    Breakage(
        "driver library swapped",
        "files",
        f"cp {LIBRARY} /root/library; cp /usr/bin/true {LIBRARY}",
        r"files of the driver are not as their packages.*ptxjitcompiler",
        undo=f"cp /root/library {LIBRARY}; rm /root/library",
        why_not="dpkg says that the package is installed; its files are hashed by the host tests",
    ),
    Breakage(
        "another libcuda first in the linker's path",
        "files",
        "mkdir -p /opt/cuda-by-hand; cp /usr/lib/x86_64-linux-gnu/libz.so.1 "
        "/opt/cuda-by-hand/libcuda.so.1; patch=/etc/ld.so.conf.d/000-by-hand.conf; "
        "echo /opt/cuda-by-hand > $patch; cp "
        "$(ldconfig -p | sed -n 's/.*libcuda.so.1 .* => //p' | head -1) "
        "/opt/cuda-by-hand/libcuda.so.1; ldconfig",
        r"first libcuda\.so\.1 is /opt/cuda-by-hand",
        undo="rm -r /opt/cuda-by-hand /etc/ld.so.conf.d/000-by-hand.conf; ldconfig",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "a library preloaded into every program",
        "files",
        "echo /usr/lib/x86_64-linux-gnu/libz.so.1 > /etc/ld.so.preload",
        r"/etc/ld\.so\.preload names",
        undo="rm /etc/ld.so.preload",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "another nvcc first on the path",
        "files",
        "printf '#!/bin/sh\\necho Cuda compilation tools, release 11.8, V11.8.89\\n' "
        "> /usr/local/bin/nvcc; chmod 755 /usr/local/bin/nvcc",
        r"nvcc says.*release 11\.8",
        undo="rm /usr/local/bin/nvcc",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "every blacklist of nouveau removed",
        "files",
        "rm -f /etc/modprobe.d/*nouveau*.conf",
        r"does not blacklist nouveau",
        r"fortyninety-nouveau\.conf is missing",
    ),
    Breakage(
        "nouveau loaded at boot by a line of somebody's",
        "files",
        "echo nouveau > /etc/modules-load.d/display.conf",
        r"display\.conf loads nouveau at boot",
        undo="rm /etc/modules-load.d/display.conf",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the driver kept out by a line of somebody's",
        "files",
        "echo 'install nvidia /bin/false' > /etc/modprobe.d/zz-by-hand.conf",
        r"modprobe is told `install nvidia /bin/false",
        undo="rm /etc/modprobe.d/zz-by-hand.conf",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the driver's module gone for the kernel that boots next",
        "files",
        "for f in /lib/modules/*/updates/dkms/nvidia-current.ko*; do mv $f /root/; done",
        r"boots next and has no NVIDIA module",
        r"Build its module for the kernel that boots next",
    ),
    Breakage(
        "kernel headers removed",
        "files",
        "mv /lib/modules/$(ls /lib/modules | sort -V | tail -1)/build /root/build-link",
        r"has no headers to build a module with",
        undo="mv /root/build-link /lib/modules/$(ls /lib/modules | sort -V | tail -1)/build",
        why_not="dpkg says that the package is installed",
    ),
    Breakage(
        "a card's cap changed by hand",
        "files",
        "nvidia-smi --id=0 --power-limit=300",
        r"GPU 0 is capped at 300\.00 W",
        r"GPU 0.*300",
    ),
    Breakage(
        "the unit of the cap disabled",
        "files",
        "systemctl disable --quiet fortyninety-power-limit.service",
        r"cap.*(disabled|not enabled)|fortyninety-power-limit.* (disabled|not enabled)",
        r"fortyninety-power-limit\.service is disabled; expected enabled",
    ),
    Breakage(
        "the cap overridden for the next boot",
        "files",
        _drop_in(
            "fortyninety-power-limit.service",
            "ExecStart=\\nExecStart=/usr/bin/nvidia-smi --power-limit=450",
        )
        + "; systemctl daemon-reload",
        r"(450|zz-by-hand)",
        undo=_no_drop_in("fortyninety-power-limit.service"),
        why_not=OVERRIDES,
    ),
    Breakage(
        "somebody's cron job sets another cap at boot",
        "files",
        "mkdir -p /etc/cron.d; "
        "echo '@reboot root nvidia-smi --power-limit=450' > /etc/cron.d/cards",
        r"/etc/cron\.d/cards sets a power limit too",
        undo="rm /etc/cron.d/cards",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "persistence mode off",
        "files",
        "nvidia-smi --persistence-mode=0",
        r"GPU 0 has persistence mode Disabled",
        r"GPU 0 .*has persistence mode off; expected on",
    ),
    Breakage(
        "the cards closed to programs that compute",
        "files",
        "nvidia-smi --compute-mode=PROHIBITED",
        r"GPU 0 has compute mode Prohibited",
        undo="nvidia-smi --compute-mode=DEFAULT",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the persistence daemon masked",
        "files",
        "systemctl mask --now --quiet nvidia-persistenced.service",
        r"nvidia-persistenced\.service is (masked|inactive)",
        r"nvidia-persistenced\.service is masked; expected enabled",
    ),
    Breakage(
        "a byte flipped in a shard, its time put back",
        "files",
        f"f={SNAPSHOT}/model-00003-of-00006.safetensors; touch -r $f /root/time; "
        "cp $f /root/shard; printf X | dd of=$f bs=1 seek=500000 conv=notrunc status=none; "
        "touch -r /root/time $f",
        r"model-00003\S* has (SHA-256|digest)",
        undo=f"cp /root/shard {SNAPSHOT}/model-00003-of-00006.safetensors; "
        f"touch -r /root/time {SNAPSHOT}/model-00003-of-00006.safetensors",
        why_not="sizes and times are right: only hashing shows it (fortyninety snapshot verify)",
    ),
    Breakage(
        "a shard a link to a file of somebody's",
        "files",
        f"f={SNAPSHOT}/model-00004-of-00006.safetensors; mv $f /srv/shard; chmod 666 /srv/shard; "
        "ln -s /srv/shard $f",
        r"model-00004\S* is a link to /srv/shard",
        undo=f"mv -T /srv/shard {SNAPSHOT}/model-00004-of-00006.safetensors; "
        f"chmod 644 {SNAPSHOT}/model-00004-of-00006.safetensors",
        why_not="sizes are right behind the link",
    ),
    Breakage(
        "the models on what is mounted by hand",
        "files",
        "mount --bind /srv/models /srv/models",
        r"/srv/models is on what is mounted at /srv/models, which is in no fstab",
        undo="umount /srv/models",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "a folder of the snapshot's closed to the service",
        "files",
        "chmod 700 /srv/models/*/",
        r"vllm cannot read",
        undo="chmod 755 /srv/models/*/",
        why_not="a deploy compares the files of a snapshot, and not who may enter its folder",
    ),
    Breakage(
        "a line changed in the engine's code",
        "files",
        f"cp -a {PACKAGES}/vllm/version.py /root/version.py; "
        f"echo '# by hand' >> {PACKAGES}/vllm/version.py",
        r"vllm/version\.py",
        undo=f"cp -a /root/version.py {PACKAGES}/vllm/version.py",
        why_not=UNSEEN,
    ),
    Breakage(
        "a start-up hook in the environment",
        "files",
        f"echo 'import os' > {PACKAGES}/zz_by_hand.pth",
        r"zz_by_hand\.pth",
        undo=f"rm {PACKAGES}/zz_by_hand.pth",
        why_not=UNSEEN,
    ),
    Breakage(
        "a package installed into the environment by hand",
        "files",
        f"mkdir {PACKAGES}/by_hand-1.0.dist-info; printf 'Name: by-hand\\nVersion: 1.0\\n' "
        f"> {PACKAGES}/by_hand-1.0.dist-info/METADATA",
        r"by-hand is at 1\.0, locked at none",
        undo=f"rm -r {PACKAGES}/by_hand-1.0.dist-info",
        why_not=UNSEEN,
    ),
    Breakage(
        "the link to the live engine dangling",
        "files",
        "ln -sfn /opt/fortyninety/engines/gone /opt/fortyninety/engines/current.new && "
        "cp -P /opt/fortyninety/engines/current /root/ && "
        "mv -fT /opt/fortyninety/engines/current.new /opt/fortyninety/engines/current",
        r"engines/current points to /opt/fortyninety/engines/gone",
        r"engines/current points to /opt/fortyninety/engines/gone",
    ),
    Breakage(
        "compiled Python put beside a source that is as it was",
        "files",
        f"f=$(ls {PACKAGES}/vllm/__pycache__/envs.*.pyc); cp -a $f /root/envs.pyc; "
        "head -c 16 /root/envs.pyc > /root/other.pyc; "
        "tail -c +17 /root/envs.pyc | tr v w >> /root/other.pyc; cat /root/other.pyc > $f",
        r"envs\.\S+pyc was written after the environment was whole",
        undo=f"cp -a /root/envs.pyc $(ls {PACKAGES}/vllm/__pycache__/envs.*.pyc)",
        why_not=UNSEEN,
    ),
    Breakage(
        "the uv that root runs replaced",
        "files",
        "f=$(ls /opt/fortyninety/tools/*/bin/uv); cp -a $f /root/uv; "
        "printf '#!/bin/sh\\nexit 0\\n' > $f",
        r"bin/uv has 17 bytes, its package says",
        undo="cp -a /root/uv $(ls -d /opt/fortyninety/tools/*/bin)/uv",
        why_not=UNSEEN,
    ),
    Breakage(
        "a unit kept for a rollback changed",
        "files",
        "sed -i s/^User=.*/User=root/ $(ls -t /opt/fortyninety/served/*.service | head -n 1)",
        r"served/\S+\.service is not the unit that served under that name",
        r"is not remembered as the latest that served",
    ),
    Breakage(
        "a program of the project's changed",
        "files",
        "echo '# by hand' >> /opt/fortyninety/bin/complete",
        r"bin/complete is not this project's program",
        r"bin/complete has another content",
    ),
    Breakage(
        "a program of the project's writable by all",
        "files",
        "chmod 777 /opt/fortyninety/bin/snapshot",
        r"others than root can write.*bin/snapshot",
        r"the mode of /opt/fortyninety/bin/snapshot is 777; expected 755",
    ),
    Breakage(
        "the unit writable by all",
        "files",
        f"chmod 666 {UNIT}",
        r"others than root can write what root runs.*vllm\.service",
        rf"the mode of {UNIT} is 666; expected 644",
    ),
    Breakage(
        "the service disabled",
        "files",
        "systemctl disable --quiet vllm.service",
        r"vllm\.service is disabled",
        r"vllm\.service is disabled; expected enabled",
    ),
    Breakage(
        "apt's sources of the driver removed",
        "files",
        "rm /etc/apt/sources.list.d/fortyninety.sources",
        None,
        r"fortyninety\.sources is missing",
    ),
    Breakage(
        "a package half configured",
        "files",
        "sed -i '/^Package: hostname$/,/^$/s/^Status:.*/Status: install ok half-configured/' "
        "/var/lib/dpkg/status",
        r"dpkg --audit says.*hostname",
        r"dpkg",
    ),
    # --- The host around it, which a deploy leaves alone.
    Breakage(
        "apt's lock held by a hung process",
        "host",
        "systemd-run --quiet --unit=hung-apt python3 -c 'import fcntl, time; "
        'f = open("/var/lib/dpkg/lock-frontend", "w"); fcntl.lockf(f, fcntl.LOCK_EX); '
        "time.sleep(9999)'; sleep 1",
        r"lock.*expected it free",
        undo="systemctl stop hung-apt",
        why_not="who holds it may be at work; a deploy that needs it waits, and says for whom",
    ),
    Breakage(
        "a failed unit",
        "host",
        "systemd-run --quiet --unit=backup-of-somebody false; sleep 1",
        r"backup-of-somebody\.service failed",
        undo="systemctl reset-failed",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the next boot waits for a disk that was taken out",
        "host",
        "cp -a /etc/fstab /root/fstab; "
        "echo 'UUID=0b5e9f2c-dead-4a9e-8d2f-000000000000 /srv/archive ext4 defaults 0 2' "
        ">> /etc/fstab",
        r"fstab mounts UUID=0b5e9f2c-dead\S* on /srv/archive, which is not there",
        undo="cp -a /root/fstab /etc/fstab",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the persistence daemon emptied by a drop-in",
        "host",
        _drop_in("nvidia-persistenced.service", "ExecStart=") + "; systemctl daemon-reload",
        r"nvidia-persistenced\.service would start nothing",
        undo=_no_drop_in("nvidia-persistenced.service"),
        why_not=OVERRIDES,
    ),
    Breakage(
        "a disk nearly full",
        "host",
        "mkdir -p /srv/models/scratch; mount -t tmpfs -o size=8M tmpfs /srv/models/scratch; "
        "head -c 8200000 /dev/zero > /srv/models/scratch/fill",
        r"/srv/models/scratch has 0\.\d of 8\.0 MiB free",
        undo="umount /srv/models/scratch; rmdir /srv/models/scratch",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "a port open to the world",
        "host",
        "systemd-run --quiet --unit=share-of-somebody --working-directory=/srv "
        "python3 -m http.server 9999; sleep 1",
        r"9999",
        undo="systemctl stop share-of-somebody",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "a key file that everybody can read",
        "host",
        "mkdir -p /root/.cache/huggingface; echo hf_abcdefghijklmnopqrstuvwxyz012345 "
        "> /root/.cache/huggingface/token; chmod 644 /root/.cache/huggingface/token; "
        "chmod 755 /root /root/.cache /root/.cache/huggingface",
        r"huggingface/token.*mode 644",
        undo="rm -r /root/.cache/huggingface; chmod 700 /root",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "a secret on a command line",
        "host",
        "systemd-run --quiet --unit=client-of-somebody --description=client "
        "python3 -c 'import time; time.sleep(9999)' "
        "--api-key sk-abcdefghijklmnopqrstuvwxyz0123456789; sleep 1",
        r"(--api-key|sk-).*expected no secret",
        undo="systemctl stop client-of-somebody",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the account can log in",
        "account",
        "usermod --shell /bin/bash vllm",
        r"vllm logs in with /bin/bash",
        r"service_user is 'vllm', on the host one that logs in",
        undo="usermod --shell /usr/sbin/nologin vllm",
        why_not="an account that exists is left as it is, and a deploy refuses it",
    ),
    Breakage(
        "the account may use sudo",
        "host",
        "echo 'vllm ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/zz-by-hand; "
        "chmod 440 /etc/sudoers.d/zz-by-hand",
        r"vllm may use sudo",
        undo="rm /etc/sudoers.d/zz-by-hand",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "a second root",
        "host",
        "useradd --non-unique --uid 0 --no-create-home toor",
        r"toor have user id 0",
        undo="sed -i /^toor:/d /etc/passwd /etc/shadow; groupdel toor",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the host boots into rescue mode",
        "host",
        "systemctl set-default --quiet rescue.target",
        r"boots into rescue\.target",
        undo="systemctl set-default --quiet multi-user.target",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the unit a link to somebody's file",
        "host",
        f"mv {UNIT} /opt/vllm.service; ln -s /opt/vllm.service {UNIT}; systemctl daemon-reload",
        r"is a link to a file that somebody else keeps",
        r"vllm\.service is a symbolic link",
    ),
    Breakage(
        "a variable for every service",
        "host",
        "systemctl set-environment VLLM_LOGGING_LEVEL=DEBUG",
        r"systemd gives VLLM_LOGGING_LEVEL to every service",
        undo="systemctl unset-environment VLLM_LOGGING_LEVEL",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "a journal that keeps nothing",
        "host",
        "mkdir -p /etc/systemd/journald.conf.d; printf '[Journal]\\nStorage=none\\n' > "
        "/etc/systemd/journald.conf.d/by-hand.conf",
        r"the journal keeps nothing",
        undo="rm /etc/systemd/journald.conf.d/by-hand.conf",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "the environment's Python is another",
        "host",
        f"ln -sfn /usr/bin/python3.13 {ENGINE}/bin/python",
        r"the engine's interpreter is (Python 3\.13|.*python3\.13)",
        undo=f"ln -sfn /usr/bin/python3.11 {ENGINE}/bin/python",
        why_not=UNSEEN,
    ),
    Breakage(
        "a shell in the interpreter's place that is root's for everybody",
        "host",
        "cp /bin/bash /opt/fortyninety/bash; chmod 4755 /opt/fortyninety/bash",
        r"/opt/fortyninety/bash",
        undo="rm /opt/fortyninety/bash",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "code in the system's sitecustomize",
        "host",
        "cp /etc/python3.11/sitecustomize.py /root/; "
        "echo 'import os' >> /etc/python3.11/sitecustomize.py",
        r"sitecustomize",
        undo="cp /root/sitecustomize.py /etc/python3.11/sitecustomize.py",
        why_not="a configuration file of a package is the administrator's",
    ),
    Breakage(
        "a filesystem that is read-only",
        "host",
        "mount --bind /opt/fortyninety /opt/fortyninety; mount -o remount,ro,bind /opt/fortyninety",
        r"/opt/fortyninety is mounted read-only",
        undo="umount /opt/fortyninety",
        why_not="its disk has errors, or somebody wants it so",
    ),
    # --- The unit, and the engine that was started with it.
    Breakage(
        "a flag removed from the unit",
        "unit",
        f"sed -i '/^--max-num-seqs/,+1d' {UNIT}",
        r"--max-num-seqs \(absent\); expected 4",
        r"vllm\.service has another content",
        restarts=True,
    ),
    Breakage(
        "the service answers under another name",
        "unit",
        f"sed -i '/^--served-model-name/{{n;s|.*|by-hand \\\\|}}' {UNIT}",
        r"serves \['by-hand'\]|--served-model-name by-hand",
        r"vllm\.service has another content",
        restarts=True,
    ),
    Breakage(
        "the engine open to the world",
        "unit",
        f"sed -i 's/^127.0.0.1 /0.0.0.0 /' {UNIT}",
        r"0\.0\.0\.0",
        r"vllm\.service has another content",
        restarts=True,
    ),
    Breakage(
        "the service runs as root",
        "unit",
        f"sed -i 's/^User=.*/User=root/; s/^Group=.*/Group=root/' {UNIT}",
        r"runs as root",
        r"vllm\.service has another content",
        restarts=True,
    ),
    Breakage(
        "a key in the unit",
        "unit",
        f"sed -i 's/^User=/Environment=VLLM_API_KEY=sk-abcdefghijklmnopqrstuvwxyz\\n&/' {UNIT}",
        r"vllm\.service.*expected no secret",
        r"vllm\.service has another content",
        restarts=True,
    ),
    Breakage(
        "hardening taken out of the unit",
        "unit",
        f"sed -i '/^NoNewPrivileges/d; /^ProtectSystem/d' {UNIT}",
        r"NoNewPrivileges=no",
        r"vllm\.service has another content",
        restarts=True,
    ),
    Breakage(
        "a shard missing",
        "unit",
        f"rm {SNAPSHOT}/model-00002-of-00006.safetensors",
        r"model-00002-of-00006\.safetensors is missing",
        r"the snapshot has other files or sizes than its manifest",
    ),
    Breakage(
        "the model's configuration edited",
        "unit",
        f"sed -i 's/16384/32768/' {SNAPSHOT}/config.json; echo >> {SNAPSHOT}/config.json",
        r"config\.json has (\d+ bytes|digest|SHA)",
        r"the snapshot",
    ),
    # --- Drop-ins, respected by a deploy and not by the host tests.
    Breakage(
        "a drop-in changes a flag",
        "drop-in",
        _drop_in("vllm.service", "ExecStart=")
        + f"; sed -n '/^ExecStart=/,/[^\\\\]$/p' {UNIT} | sed 's/^16384 /8192 /' >> "
        "/etc/systemd/system/vllm.service.d/zz-by-hand.conf",
        r"--max-model-len 8192; expected 16384",
        undo=f"{_no_drop_in('vllm.service')}; systemctl restart vllm.service",
        why_not=OVERRIDES,
        restarts=True,
    ),
    Breakage(
        "a drop-in keeps the service back",
        "drop-in",
        "mkdir -p /etc/systemd/system/vllm.service.d; printf '[Service]\\nNice=19\\n"
        "CPUQuota=50%%\\nEnvironment=LD_LIBRARY_PATH=/opt/cuda/lib64\\nStandardOutput=null\\n' > "
        "/etc/systemd/system/vllm.service.d/slow.conf",
        r"CPUQuotaPerSecUSec=500ms.*Nice=19.*StandardOutput=null",
        undo="rm -f /etc/systemd/system/vllm.service.d/slow.conf; systemctl daemon-reload; "
        "systemctl restart vllm.service",
        why_not=OVERRIDES,
        restarts=True,
    ),
    Breakage(
        "a drop-in opens the sandbox",
        "drop-in",
        "mkdir -p /etc/systemd/system/vllm.service.d; printf '[Service]\\nPrivateUsers=no\\n"
        "DevicePolicy=auto\\nSystemCallFilter=\\nIPAddressDeny=\\n' > "
        "/etc/systemd/system/vllm.service.d/open.conf",
        r"PrivateUsers=no \(expected yes\), DevicePolicy=auto \(expected closed\)",
        undo="rm -f /etc/systemd/system/vllm.service.d/open.conf; systemctl daemon-reload; "
        "systemctl restart vllm.service",
        why_not=OVERRIDES,
        restarts=True,
    ),
    Breakage(
        "a drop-in until the next boot, not loaded",
        "drop-in",
        "mkdir -p /run/systemd/system/vllm.service.d; printf '[Service]\\nRestart=no\\n' > "
        "/run/systemd/system/vllm.service.d/zz.conf",
        r"(changed on disk since systemd read it|/run/systemd)",
        r"vllm\.service changed on disk since systemd read it",
        undo="rm -r /run/systemd/system/vllm.service.d; systemctl daemon-reload",
        why_not=OVERRIDES,
    ),
    # --- The service gone, or there in name only: each alone.
    Breakage(
        "the service stopped",
        "stopped",
        "systemctl stop vllm.service",
        r"vllm\.service is inactive",
        r"vllm\.service is inactive; expected active",
    ),
    Breakage(
        "the service masked",
        "masked",
        f"systemctl stop vllm.service; ln -sf /dev/null {UNIT}; systemctl daemon-reload",
        r"masked",
        r"vllm\.service is (masked|a symbolic link)",
    ),
    Breakage(
        "the engine hung, /health still well",
        "hung",
        "pkill --signal STOP --full '[V]LLM::(EngineCore|Worker)'",
        r"(completion|does not answer|timed out)",
        r"does not answer",
        undo="systemctl kill --signal=KILL vllm.service; systemctl restart vllm.service",
        why_not="the gate waits for an engine that may be starting, and fails in the end",
        deploy_with=("--data", "ready_timeout=30"),
    ),
    Breakage(
        "another program on the engine's port",
        "port",
        "systemctl stop vllm.service; systemd-run --quiet --unit=server-of-somebody "
        "python3 -m http.server --bind 127.0.0.1 8000; sleep 1",
        r"port 8000 is process \d+'s, which is not of vllm\.service",
        r"port 8000 is taken",
        undo="systemctl stop server-of-somebody",
        why_not="preflight refuses the host: whose port it is, somebody has to say",
    ),
    Breakage(
        "the clock ten minutes fast",
        "clock",
        "apt-get -qq install --yes libfaketime >/dev/null 2>&1; echo +10m > /etc/faketimerc; "
        "cp /etc/environment /root/; printf '%s=1\\n' FAKETIME_DONT_FAKE_MONOTONIC "
        "FAKETIME_DISABLE_SHM >> /etc/environment; "
        "dpkg -L libfaketime | grep libfaketime.so.1 > /etc/ld.so.preload",
        r"the host's clock is (59|60)\d s away",
        undo="rm /etc/ld.so.preload /etc/faketimerc; cp /root/environment /etc/environment; "
        "dpkg --purge libfaketime",
        why_not=NOT_OWNED,
    ),
    Breakage(
        "a card that fell off the bus",
        "card",
        "true",
        r"GPU is lost|answers no question|nvidia-smi",
        r"no card answers",
        from_outside=lambda name: control.fail(name, Call.INITIALISE, control.GPU_IS_LOST),
        undo_from_outside=control.repair,
        why_not="a card has to be put back by hand, and the host rebooted",
    ),
    Breakage(
        "nvidia-smi that never answers",
        "silent",
        "f=$(readlink -f /usr/bin/nvidia-smi); mv $f /root/nvidia-smi; "
        "printf '#!/bin/sh\\nexec sleep 9999\\n' > $f; chmod 755 $f",
        r"`nvidia-smi \S+.* has not ended after 120 s",
        r"answers nothing; expected its cards\. nvidia-smi says: no answer in 60 s",
        undo="mv /root/nvidia-smi $(readlink -f /usr/bin/nvidia-smi)",
        why_not="a card that its driver has lost has to be looked at, and then comes a reboot",
    ),
    Breakage(
        "nouveau in memory",
        "nouveau",
        "mkdir -p /run/modules/nouveau; mount --bind /run/modules /sys/module",
        r"nouveau is loaded",
        r"nouveau holds the cards",
    ),
)
