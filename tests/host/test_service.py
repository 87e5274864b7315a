"""The service as it runs now and as it would start next, not as its file reads."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from testinfra.host import Host

from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from tests.host.inventory_bridge import Box
from tests.host.live_process import SECRET, SERVICE, LiveProcess, without_secrets

# systemd's own score of what a service could do after a break-in, from 0 (nothing) to 10: 1.3 for
# the unit of this project (run on lab hosts, systemd 252 and 257), 1.4 where all may reach the
# engine (computed). One protection less is 0.1 or 0.2.
HIGHEST_EXPOSURE = 1.5

# Variables that make the engine another one than its settings say, and those of the linker and of
# Python that put other code into it.
ENGINES_OWN = re.compile(r"(VLLM|TORCH|NCCL|CUDA|NVIDIA|HF|TRANSFORMERS|TRITON|FLASHINFER)_?[A-Z]")
LOADERS = re.compile(r"LD_|PYTHON|GCONV_PATH$|GLIBC_TUNABLES$")

# Where the processes of one box meet, and nobody else joins them.
ON_LOOPBACK = {
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}

# What would keep the engine back, with what this project's unit is loaded with. An operator's
# affinity to a memory node or a roomy MemoryMax keeps nothing back.
UNHAMPERED = {
    "CPUQuotaPerSecUSec": "infinity",
    "CPUSchedulingPolicy": "0",
    "LimitNOFILE": "65536",
    "Nice": "0",
    "OOMScoreAdjust": "0",
    "TimeoutStopUSec": "1min",
    "StandardOutput": "journal",
}
# The share of its MemoryMax or MemoryHigh that an engine at rest may have in use.
MEMORY_IN_USE = 0.9

# What the unit promises, and must have been loaded with.
PROMISED = {
    "Restart": "always",
    "KillMode": "mixed",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "ProtectProc": "invisible",
    "PrivateTmp": "yes",
    "PrivateUsers": "yes",
    "RemoveIPC": "yes",
    "ProtectKernelModules": "yes",
    "DevicePolicy": "closed",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "SystemCallArchitectures": "native",
    # EPERM.
    "SystemCallErrorNumber": "1",
    "UMask": "0077",
}


@pytest.fixture(scope="session")
def log(host: Host, process: LiveProcess) -> list[tuple[float, str]]:
    """When the engine that runs now logged what, as it started."""
    shown = host.check_output(
        f"journalctl --quiet --no-pager --output=json --output-fields=MESSAGE "
        f"_SYSTEMD_INVOCATION_ID={process.unit['InvocationID']} 2>/dev/null | head -n 2000"
    )
    entries = (json.loads(line) for line in shown.splitlines())
    return [
        (int(entry["__REALTIME_TIMESTAMP"]) / 1e6, _text(entry.get("MESSAGE"))) for entry in entries
    ]


def _text(message: Any) -> str:
    # What is not plain text comes as numbers.
    return bytes(message).decode(errors="replace") if isinstance(message, list) else str(message)


def test_the_service_runs_and_starts_at_boot(process: LiveProcess) -> None:
    """A service that is only running is gone after the next power cut."""
    unit = process.unit
    assert unit["ActiveState"] == "active", (
        f"{SERVICE} is {unit['ActiveState']} ({unit['LoadState']}, {unit['Result']}); expected "
        f"active. Look at `journalctl -u {SERVICE}`, then deploy again"
    )
    assert unit["UnitFileState"] == "enabled", (
        f"{SERVICE} is {unit['UnitFileState'] or unit['LoadState']}; expected enabled, or it does "
        "not start at boot. Deploy again"
    )


def test_systemd_has_the_unit_that_is_on_disk(process: LiveProcess) -> None:
    """A unit that was changed and not loaded shows its faults at the next reboot."""
    unit = process.unit
    assert unit["NeedDaemonReload"] == "no", (
        f"{SERVICE} or a drop-in of it changed on disk since systemd read it; expected what is "
        "loaded. Deploy again"
    )
    path = unit["FragmentPath"]
    assert path == f"/etc/systemd/system/{SERVICE}", (
        f"{SERVICE} is loaded from {path or 'nowhere'}; expected /etc/systemd/system. Remove it, "
        "or unmask the service, and deploy again"
    )
    assert not process.is_link, (
        f"{path} is a link to a file that somebody else keeps; expected a file. Deploy again"
    )
    lost = [each for each in unit["DropInPaths"].split() if each.startswith("/run/")]
    assert not lost, (
        f"{', '.join(lost)} changes {SERVICE} until the next boot; expected no such file. "
        f"`systemctl revert {SERVICE}`, or move it to /etc"
    )


def test_the_process_is_what_systemd_would_start_now(process: LiveProcess) -> None:
    """What differs takes effect at the next start: after a crash, in the middle of the night."""
    running, next_start = process.main["arguments"], process.exec_start
    if " ".join(running).split() != " ".join(next_start).split():
        mine, theirs = without_secrets(running), without_secrets(next_start)
        other = sorted(set(theirs.split()) ^ set(mine.split())) or ["the order of their words"]
        pytest.fail(
            f"the process and the unit differ in {' '.join(other)}: running is `{mine}`, the next "
            f"start would be `{theirs}`; expected the same. Look at `systemctl cat {SERVICE}`; "
            f"deploy again, or `systemctl restart {SERVICE}`",
            pytrace=False,
        )
    # What is in quotes has blanks; the variables of this project have none.
    wanted = dict(word.split("=", 1) for word in process.unit["Environment"].split() if "=" in word)
    found = process.environment
    wrong = [
        name if SECRET.search(name) else f"{name} (running: {found.get(name)}, next: {value})"
        for name, value in wanted.items()
        if found.get(name) != value and '"' not in value
    ]
    assert not wrong, (
        f"the process was started with another {'; '.join(wrong)}; expected what the unit says. "
        f"Run `systemctl restart {SERVICE}`"
    )


def expected_flags(settings: Settings, release: Release, cards: int) -> dict[str, str | None]:
    """Each flag that must be on the command line with its value; None is a flag without one."""
    tensor_parallel = settings.tensor_parallel_size
    size = cards if tensor_parallel == "all" else int(tensor_parallel)
    spelled = release.values.get("quantization", {})
    values: dict[str, str | None] = {
        "served_model_name": settings.model_name,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "max_model_len": str(settings.max_model_len),
        "max_num_seqs": str(settings.max_num_seqs),
        "gpu_memory_utilization": str(settings.gpu_memory_utilization),
        "tensor_parallel_size": str(size),
        "host": settings.listen_address,
        "port": str(settings.port),
    }
    if settings.quantization is not None:
        values["quantization"] = spelled.get(settings.quantization, settings.quantization)
    if settings.enable_prefix_caching:
        values["enable_prefix_caching"] = None
    if settings.max_num_batched_tokens is not None:
        values["max_num_batched_tokens"] = str(settings.max_num_batched_tokens)
        if settings.max_num_batched_tokens < settings.max_model_len:
            values["enable_chunked_prefill"] = None
    values["disable_log_requests"] = None
    values["max_seq_len_to_capture"] = str(settings.max_model_len)
    flags = {flag: value for key, value in values.items() if (flag := release.flags.get(key))}
    if not settings.enable_prefix_caching:
        flags |= dict.fromkeys(release.switched_off.values())
    choice = release.attention_backend
    backend = settings.attention_backend or (
        choice.for_fp8_kv_cache if settings.kv_cache_dtype.startswith("fp8") else None
    )
    if choice.flag and backend:
        flags[choice.flag] = backend
    if size > 1 and not _peer_to_peer(settings):
        flags |= dict.fromkeys(release.without_peer_to_peer.arguments)
    return flags


def _peer_to_peer(settings: Settings) -> bool:
    """Whether the cards read each other's memory: no GeForce card does unless the settings say."""
    if settings.peer_to_peer is not None:
        return settings.peer_to_peer
    return "GeForce" not in settings.gpu_model


def _flags_in(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)}


def test_the_live_process_has_every_flag(
    host: Host, process: LiveProcess, settings: Settings, release: Release
) -> None:
    """A missing flag is a smaller context, a slower kernel, or a card that runs out of memory."""
    cards = len(host.run("nvidia-smi --list-gpus").stdout.splitlines())
    words = process.arguments
    wrong = []
    for flag, value in expected_flags(settings, release, cards).items():
        given = process.values(flag)
        if value is None:
            if flag not in words:
                wrong.append(f"without {flag}; expected it")
        elif flag in settings.engine_arguments:
            continue
        elif len(given) > 1:
            wrong.append(
                f"with {flag} {len(given)} times, {' and '.join(given)}, of which the last counts; "
                f"expected {value} alone"
            )
        elif given != [value]:
            wrong.append(f"with {flag} {given[0] if given else '(absent)'}; expected {value}")
    assert not wrong, "\n".join(
        [
            *(f"the process runs {each}" for each in wrong),
            f"Look at `systemctl cat {SERVICE}`, and deploy again",
        ]
    )


def test_the_live_process_has_no_other_flag(
    process: LiveProcess, settings: Settings, release: Release, fronts: list[Box]
) -> None:
    """A flag that nobody set in the settings came by hand, and goes by the next deploy."""
    node = release.multi_node
    extra = [*release.extra_arguments, *(node.extra_arguments or () if node else ())]
    known = {
        *expected_flags(settings, release, 2),
        release.model_argument,
        *_flags_in([*release.entry, *extra, *settings.engine_arguments]),
        *release.without_peer_to_peer.arguments,
    }
    if settings.cell and node:
        known |= {*node.flags.values(), *_flags_in(list(node.headless_entry or ()))}
    if (settings.gateway or fronts) and settings.tenant_isolation and release.cache_salt:
        # Of which class, tests/host/test_tenants.py sees.
        known.add(release.cache_salt.flag)
    others = sorted(_flags_in(process.arguments[1:]) - known)
    assert not others, (
        f"{', '.join(others)} on the command line; expected no flag beyond the settings'. Put it "
        f"into engine_arguments, or look at `systemctl cat {SERVICE}`; deploy again"
    )


def test_the_live_process_has_its_variables(
    host: Host, process: LiveProcess, settings: Settings, release: Release
) -> None:
    """Without them the engine asks the hub at its start, sends reports, or hangs in NCCL."""
    expected = {**({} if settings.cell else ON_LOOPBACK), **release.environment}
    several = settings.tensor_parallel_size
    if several == "all":
        several = len(host.run("nvidia-smi --list-gpus").stdout.splitlines())
    if int(several) > 1 and not _peer_to_peer(settings):
        expected |= release.without_peer_to_peer.environment
    choice = release.attention_backend
    if choice.environment and settings.kv_cache_dtype.startswith("fp8") and choice.for_fp8_kv_cache:
        expected[choice.environment] = settings.attention_backend or choice.for_fp8_kv_cache
    wrong = [
        f"{name}={process.environment.get(name)} (expected {value})"
        for name, value in expected.items()
        if process.environment.get(name) != value
    ]
    assert not wrong, f"the process runs with {', '.join(wrong)}. Deploy again"


def test_no_other_variable_changes_the_engine(
    process: LiveProcess, settings: Settings, release: Release, fronts: list[Box]
) -> None:
    """A variable that nobody set in the settings came by hand, and no flag tells of it."""
    choice = release.attention_backend
    known = {
        *ON_LOOPBACK,
        *release.environment,
        *release.without_peer_to_peer.environment,
        *filter(None, [choice.environment]),
        "CUDA_HOME",
    }
    loaders = sorted(filter(LOADERS.match, process.environment))
    if (settings.gateway or fronts) and settings.tenant_isolation and release.cache_salt:
        # From where, tests/host/test_tenants.py sees.
        loaders = [each for each in loaders if each != "PYTHONPATH"]
    assert not loaders, (
        f"{', '.join(loaders)} is set for the process, and loads code into it; expected it unset. "
        f"Look at `systemctl cat {SERVICE}` and `systemctl show-environment`"
    )
    others = sorted(name for name in process.environment if ENGINES_OWN.match(name))
    extra = [name for name in others if name not in known and not SECRET.search(name)]
    assert not extra, (
        f"{', '.join(extra)} is set for the process; expected the variables of {release.release} "
        f"alone. Look at `systemctl cat {SERVICE}` and `systemctl show-environment`"
    )


def test_no_variable_of_the_engine_is_given_to_every_service(host: Host) -> None:
    """What systemd gives to everything that it starts, the engine gets at its next start."""
    names = [
        line.partition("=")[0] for line in host.check_output("systemctl show-environment").split()
    ]
    found = sorted(name for name in names if ENGINES_OWN.match(name) or LOADERS.match(name))
    assert not found, (
        f"systemd gives {', '.join(found)} to every service; expected none of the engine's or the "
        f"linker's. `systemctl unset-environment {' '.join(found)}`, and look at "
        "DefaultEnvironment in /etc/systemd/system.conf"
    )


def test_nothing_keeps_the_service_back(process: LiveProcess) -> None:
    """A limit of somebody's slows the engine or ends it under load, and no log says why."""
    wrong = [
        f"{name}={process.unit.get(name)} (expected {value})"
        for name, value in UNHAMPERED.items()
        if process.unit.get(name, value) != value
    ]
    used = process.unit.get("MemoryCurrent", "")
    for name in ("MemoryMax", "MemoryHigh"):
        limit = process.unit.get(name, "")
        # "infinity", and "[not set]" where the kernel does not count.
        if limit.isdigit() and used.isdigit() and int(used) > MEMORY_IN_USE * int(limit):
            wrong.append(
                f"{name} of {int(limit) // 2**20} MiB, of which {int(used) // 2**20} are in use"
            )
    assert not wrong, (
        f"{SERVICE} is loaded with {', '.join(wrong)}. `systemctl cat {SERVICE}` names the file "
        f"that says so; `systemctl revert {SERVICE}` takes back all that `systemctl set-property` "
        "and `edit` set"
    )


def test_the_service_runs_as_its_own_user(process: LiveProcess, settings: Settings) -> None:
    """Code from a model repository, or a hole in the engine, must not run as root."""
    for each in process.processes:
        ids = set(each["status"].get("Uid", "").split())
        assert "0" not in ids, (
            f"process {each['pid']} of the service runs as root; expected {settings.service_user}. "
            f"Look at `systemctl cat {SERVICE}`, and deploy again"
        )
    assert process.unit["User"] == settings.service_user, (
        f"the next start runs as {process.unit['User'] or 'root'}; expected "
        f"{settings.service_user}. Look at `systemctl cat {SERVICE}`, and deploy again"
    )


def test_the_process_belongs_to_the_user_of_the_settings(
    host: Host, process: LiveProcess, settings: Settings
) -> None:
    """Another account may read what the service's may not."""
    user = host.check_output(f"stat --format=%U /proc/{process.main['pid']}")
    assert user == settings.service_user, (
        f"the process runs as {user}; expected {settings.service_user}. Deploy again"
    )


def test_the_account_can_do_nothing_but_serve(host: Host, settings: Settings) -> None:
    """An account that can log in or use sudo turns a hole in the engine into one in the host."""
    name = settings.service_user
    entry = host.run(f"getent passwd {name}").stdout.strip().split(":")
    assert len(entry) == 7, f"there is no account {name}; expected the service's own. Deploy again"
    assert entry[2] != "0", f"{name} has user id 0: it is root. Remove the account; deploy again"
    wrong = []
    if entry[6].rpartition("/")[2] not in ("nologin", "false"):
        wrong.append(
            f"{name} logs in with {entry[6]}; expected nologin. `usermod -s /usr/sbin/nologin "
            f"{name}`"
        )
    password = host.check_output(f"getent shadow {name}").split(":")[1]
    if password[:1] not in ("!", "*"):
        wrong.append(f"{name} has a password; expected none. `passwd --lock {name}`")
    groups = set(host.check_output(f"id --name --groups {name}").split())
    if others := sorted(groups - {name, "video", "render"}):
        wrong.append(
            f"{name} is in {', '.join(others)}; expected its own group alone. "
            f"`gpasswd --delete {name} GROUP`"
        )
    members = host.check_output(f"getent group {name}").rpartition(":")[2]
    if members not in ("", name):
        wrong.append(
            f"{members} are in the group {name} and may read what is the service's; expected "
            f"nobody. `gpasswd --delete USER {name}`"
        )
    assert not wrong, "\n".join(wrong)


def test_the_account_may_not_use_sudo(host: Host, settings: Settings) -> None:
    """Whoever breaks into the engine is root by one command, if its account may use sudo."""
    name = settings.service_user
    allowed = host.run(f"sudo -n -l -U {name}").stdout
    assert "may run the following" not in allowed, (
        f"{name} may use sudo: {allowed.strip().splitlines()[-1].strip()}; expected nothing. "
        "Remove it from /etc/sudoers.d"
    )
    # A line for it waits there for the day that sudo is installed.
    named = host.run(f"grep -Els '^[[:space:]]*{name}[[:space:]]' /etc/sudoers /etc/sudoers.d/*")
    assert not named.stdout, (
        f"{' and '.join(named.stdout.split())} says that {name} may use sudo; expected nobody to "
        "name it there. Remove the line"
    )


def test_the_process_has_no_privileges(process: LiveProcess) -> None:
    """What the engine may not do, whoever breaks into it may not do either."""
    for each in process.processes:
        status = each["status"]
        found = {
            "NoNewPrivs": status.get("NoNewPrivs"),
            "CapEff": status.get("CapEff", "").strip("0"),
            "CapBnd": status.get("CapBnd", "").strip("0"),
            "Seccomp": status.get("Seccomp"),
        }
        wanted = {"NoNewPrivs": "1", "CapEff": "", "CapBnd": "", "Seccomp": "2"}
        assert found == wanted, (
            f"process {each['pid']} has {found}; expected {wanted}. Look at `systemctl cat "
            f"{SERVICE}`, and deploy again"
        )


def test_the_unit_is_hardened(host: Host, process: LiveProcess) -> None:
    """One line removed from the unit opens the host to whoever breaks into the engine."""
    wrong = [
        f"{name}={(process.unit.get(name) or '')[:40]} (expected {value or 'empty'})"
        for name, value in PROMISED.items()
        if process.unit.get(name) != value
    ]
    assert not wrong, (
        f"{SERVICE} is loaded with {', '.join(wrong)}. Look at `systemctl cat {SERVICE}`, and "
        "deploy again"
    )
    shown = host.run(f"systemd-analyze security --no-pager {SERVICE}").stdout
    score = re.search(r"exposure level for \S+: ([\d.]+)", shown)
    assert score and float(score[1]) <= HIGHEST_EXPOSURE, (
        f"systemd gives {SERVICE} an exposure of {score[1] if score else 'nothing'}; expected at "
        f"most {HIGHEST_EXPOSURE}. `systemd-analyze security {SERVICE}` says why; deploy again"
    )


def test_the_cards_are_capped_before_the_service_starts(process: LiveProcess) -> None:
    """A model that loads at full power trips the breaker that the cap is there for."""
    after = process.unit["After"].split()
    assert "fortyninety-power-limit.service" in after, (
        f"{SERVICE} does not wait for fortyninety-power-limit.service; expected After=. Deploy "
        "again"
    )


def test_the_service_does_not_keep_restarting(
    host: Host, process: LiveProcess, settings: Settings
) -> None:
    """An engine that dies every few minutes answers whenever one looks, and nobody else."""
    restarts = int(process.unit["NRestarts"])
    started = int(process.unit["ExecMainStartTimestampMonotonic"]) / 1e6
    running = float(host.check_output("cut -d ' ' -f 1 /proc/uptime")) - started
    assert restarts == 0 or settings.cell or running > 3600, (
        f"{SERVICE} was restarted {restarts} times by systemd, the last {running:.0f} s ago; "
        f"expected none. Look at `journalctl -u {SERVICE}`"
    )


@pytest.mark.real_card
def test_no_prompt_has_ended_the_engine(host: Host) -> None:
    """It comes back by itself, and until then every user of the box has an error."""
    # No longer than a week, and not of what the unit was before it was written as it is.
    shown = host.run(
        f"since=$(stat -c %Y /etc/systemd/system/{SERVICE}); week=$(($(date +%s) - 604800)); "
        f'[ "$since" -gt "$week" ] || since=$week; journalctl --unit={SERVICE} --since="@$since" '
        "--grep='OutOfMemoryError.*CUDA out of memory' --lines=1 --output=short-iso --no-pager "
        "--quiet"
    )
    assert not shown.stdout.strip(), (
        f"{SERVICE} was ended by {shown.stdout.strip()[:300]}; expected an engine that lives "
        "through every prompt. Set max_num_batched_tokens = 2048 or lower gpu_memory_utilization, "
        "see whether another process holds memory of the cards, and deploy again"
    )


def test_the_engine_was_ready_in_time(
    process: LiveProcess, settings: Settings, release: Release, log: list[tuple[float, str]]
) -> None:
    """After a power cut the box is of no use for as long as the engine takes to start."""
    if settings.cell:
        return  # A member waits for the others, whenever they come.
    ready = [when for when, line in log if release.log_lines["ready"] in line]
    if not ready:
        # A journal forgets; an engine that answers (test_serving.py) was ready once.
        active = process.unit["ActiveState"]
        assert active == "active", f"the engine never was ready: {SERVICE} is {active}"
        pytest.skip(f"the journal no longer has the start of {SERVICE}")
    took = ready[0] - log[0][0]
    assert took <= settings.ready_timeout, (
        f"the engine took {took:.0f} s from its first line to {release.log_lines['ready']!r}; "
        f"expected at most {settings.ready_timeout} s. Look at the disk's speed"
    )


@pytest.mark.parametrize("line", ["quantization", "kv_cache_dtype"])
def test_the_engine_says_that_it_took_its_flags(
    line: str,
    settings: Settings,
    release: Release,
    log: list[tuple[float, str]],
) -> None:
    """A flag on the command line is a wish: some releases fall back and only their log says so."""
    wished = {
        "quantization": settings.quantization == "awq_marlin",
        "kv_cache_dtype": settings.kv_cache_dtype == "fp8",
    }
    if not wished[line]:
        value = getattr(settings, line)
        pytest.skip(f"{line} is {value!r}, for which the card of {release.release} has no log line")
    if not any(release.log_lines["ready"] in text for _, text in log):
        if settings.cell:
            return  # Of a cell only the head says that it is ready, and what it took.
        pytest.skip(f"the journal no longer has the start of {SERVICE}")
    missing = [each for each in release.log_lines[line] if not any(each in text for _, text in log)]
    assert not missing, (
        f"the engine never logged {missing[0]!r}; expected it of {release.release} with {line} "
        f"{getattr(settings, line)}. Look at `journalctl -u {SERVICE}` for what it says instead"
    )


def test_what_serves_can_be_gone_back_to(
    host: Host, process: LiveProcess, settings: Settings
) -> None:
    """Without its record there is no way back to what serves today."""
    # As root noted it of this start: the process may write its own environment.
    noted = host.run(f"cat /run/fortyninety/{SERVICE}").stdout.split()
    started = host.check_output(f"systemctl show --property=InvocationID --value {SERVICE}")
    assert len(noted) == 2 and noted[0] == started, (
        f"/run/fortyninety/{SERVICE} says {' '.join(noted) or 'nothing'}; expected the start "
        f"{started}. Deploy again"
    )
    record = f"{settings.install_directory}/served/{noted[1]}.service"
    assert host.file(record).exists, (
        f"there is no {record}; expected the unit that passed the gate. Deploy again"
    )


def test_no_memory_of_the_engine_is_on_disk(process: LiveProcess) -> None:
    """An engine that is swapped out answers in minutes instead of seconds."""
    swapped = sum(
        int(each["status"].get("VmSwap", "0 kB").split()[0]) for each in process.processes
    )
    assert swapped < 64 * 1024, (
        f"{swapped // 1024} MiB of the engine are swapped out; expected none. Give the box more "
        "memory, or `swapoff -a`"
    )


def test_the_engine_was_never_killed_for_memory(host: Host, process: LiveProcess) -> None:
    """What the kernel killed once for memory it kills again."""
    group = process.unit["ControlGroup"]
    events = host.run(f"cat /sys/fs/cgroup{group}/memory.events").stdout
    killed = re.search(r"^oom_kill (\d+)$", events, re.MULTILINE)
    assert not killed or killed[1] == "0", (
        f"the kernel killed {killed[1] if killed else 0} processes of {SERVICE} for memory; "
        "expected none. Look at `journalctl --dmesg --grep=oom`"
    )
