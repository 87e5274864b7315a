"""The service as it runs now, not as its file reads."""

from testinfra.host import Host

from fortyninety.engine_card import EngineCard
from fortyninety.settings import Settings
from tests.host.live_process import SERVICE, argument, arguments, main_pid


def test_the_service_runs_and_starts_at_boot(host: Host) -> None:
    """A service that is only running is gone after the next power cut."""
    unit = host.service(SERVICE)
    assert unit.is_running, f"{SERVICE} is not active. Look at `journalctl -u {SERVICE}`"
    assert unit.is_enabled, f"{SERVICE} does not start at boot. Deploy again"


def test_the_running_process_is_of_the_unit_on_disk(host: Host) -> None:
    """A unit that was changed and not restarted shows its faults at the next reboot."""
    pending = host.check_output(f"systemctl show --property=NeedDaemonReload --value {SERVICE}")
    assert pending == "no", f"{SERVICE} changed on disk since systemd read it. Deploy again"
    wanted = host.check_output(
        f"systemctl show --property=Environment --value {SERVICE} | tr ' ' '\\n' | "
        "sed -n 's/^FORTYNINETY_CONFIGURATION=//p'"
    )
    running = host.check_output(
        f"tr '\\0' '\\n' < /proc/{main_pid(host)}/environ | "
        "sed -n 's/^FORTYNINETY_CONFIGURATION=//p'"
    )
    assert running == wanted, (
        f"the process was started with configuration {running}, the unit says {wanted}. "
        f"Run `systemctl restart {SERVICE}`"
    )


def test_the_live_process_has_every_flag(host: Host, settings: Settings, card: EngineCard) -> None:
    """A missing flag is a smaller context, a slower kernel, or a card that runs out of memory."""
    expected = {
        "served_model_name": settings.model_name,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "max_model_len": str(settings.max_model_len),
        "max_num_seqs": str(settings.max_num_seqs),
        "gpu_memory_utilization": str(settings.gpu_memory_utilization),
        "port": str(settings.port),
        "quantization": card.values.get("quantization", {}).get(
            settings.quantization, settings.quantization
        ),
    }
    if settings.tensor_parallel_size == "all":
        cards = host.check_output("nvidia-smi --list-gpus").splitlines()
        expected["tensor_parallel_size"] = str(len(cards))
    else:
        expected["tensor_parallel_size"] = str(settings.tensor_parallel_size)
    for key, value in expected.items():
        flag = card.flags[key]
        assert flag is not None, f"engine {card.release} has no flag for {key}"
        found = argument(host, flag)
        assert found == value, f"the process runs with {flag} {found}; expected {value}"
    prefix_caching = card.flags["enable_prefix_caching"]
    assert (prefix_caching in arguments(host)) == settings.enable_prefix_caching, (
        f"{prefix_caching} is{' not' * settings.enable_prefix_caching} on the command line"
    )


def test_the_service_runs_as_its_own_user(host: Host, settings: Settings) -> None:
    """Code from a model repository, or a hole in the engine, must not run as root."""
    user = host.check_output(f"stat --format=%U /proc/{main_pid(host)}")
    assert user == settings.service_user, (
        f"the process runs as {user}; expected {settings.service_user}"
    )
