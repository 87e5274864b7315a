"""What makes each alert fire, and what is nearly that and must not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# What stands for the name of a case's box.
BOX = "box-1"
CARD = 'box="box-1",card="1",uuid="GPU-1"'
SIBLING = 'box="box-1",card="2",uuid="GPU-2"'
DAY = 24 * 60

# Names of either release.
KV = r"^vllm:(gpu|kv)_cache_usage_perc"
RUNNING = r"^vllm:num_requests_running"
WAITING = r"^vllm:num_requests_waiting\{"
INTER_TOKEN = r"^vllm:(inter_token_latency|time_per_output_token)_seconds_bucket"
FIRST_TOKEN = r"^vllm:time_to_first_token_seconds_bucket"


@dataclass(frozen=True)
class Case:
    """A box that is otherwise as it was recorded, and the alerts that fire after some minutes.

    `otherwise` has values in promtool's notation by a pattern of the series' names and labels, and
    `also` those of series which the box had no reason to export when it was recorded; N is as often
    as there are minutes for. Times are in seconds from the beginning.
    """

    name: str
    fires: tuple[str, ...] = ()
    minutes: int = 20
    otherwise: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_of_the_engine(self) -> bool:
        """Whether it is about what an engine exports, which is not the same in every release."""
        return not self.otherwise or any("vllm:" in pattern for pattern in self.otherwise)


def slower(family: str, *bounds: str) -> dict[str, str]:
    """Ten answers a step of which none is in the buckets up to these bounds, and all in others."""
    below = "|".join(bound.replace(".", r"\.") for bound in bounds)
    return {rf'{family}.*le="({below})"': "0xN", family: "0+10xN"}


def throttle(reason: str) -> dict[str, str]:
    """A reason that holds a card's clocks down."""
    return {rf'^fortyninety_card_throttle_active.*reason="{reason}"': "1xN"}


def siblings(clock: int, utilization: float = 1) -> dict[str, str]:
    """Two further cards, of which one has this clock (MHz) and is so busy."""
    return {
        f'fortyninety_card_clock_hertz{{{CARD},clock="sm"}}': "2500000000xN",
        f"fortyninety_card_utilization_ratio{{{CARD}}}": "1xN",
        f'fortyninety_card_clock_hertz{{{SIBLING},clock="sm"}}': f"{clock}000000xN",
        f"fortyninety_card_utilization_ratio{{{SIBLING}}}": f"{utilization}xN",
    }


STATE = r'^fortyninety_engine_state.*state="{}"'


def state(name: str) -> dict[str, str]:
    """The engine in this state and in no other."""
    return {STATE.format(name): "1xN", r"^fortyninety_engine_state": "0xN"}


PROBE = 'fortyninety_completion_probe_up{box="box-1"}'
FRONT = 'fortyninety_front_up{box="box-1"}'
EXPIRY = 'fortyninety_certificate_expiry_timestamp_seconds{{box="box-1",certificate="{}"}}'
SINCE = 'fortyninety_drained_since_timestamp_seconds{box="box-1"}'
DRAINED = r"^fortyninety_drained\{"
CHECKED = r'^fortyninety_check_timestamp_seconds.*check="{}"'
TESTS = r'^fortyninety_check_tests.*check="{}",outcome="{}"'
WANTED = 'fortyninety:engine_wanted{{box="box-1",release="{}",snapshot="{}"}}'
SERVED = "0.32.0-cpu", "d19cd83e32d84e3f21f93e6ba54f73555ef2841b"
FAILED = r'^haproxy_backend_http_responses_total.*proxy="taken",code="5xx"'
ANSWERED = r'^haproxy_backend_http_responses_total.*proxy="taken",code="2xx"'

CASES = (
    Case("a quiet box"),
    # The engine.
    Case("a full cache", ("KvCacheFull",), otherwise={KV: "0.93xN"}),
    Case("a cache that is nearly full", otherwise={KV: "0.92xN"}),
    Case("a cache that was full for a moment", otherwise={KV: "0.1x19 0.95xN"}),
    Case("requests that wait", ("RequestsWait",), otherwise={WAITING: "3xN"}),
    Case("requests that waited a minute", otherwise={WAITING: "0x18 3xN"}),
    Case("slow tokens", ("TokensSlow",), otherwise=slower(INTER_TOKEN, "0.01", "0.025", "0.05")),
    Case("tokens in time", otherwise=slower(INTER_TOKEN, "0.01", "0.025")),
    Case(
        "slow beginnings",
        ("FirstTokenSlow",),
        otherwise={rf'{FIRST_TOKEN}.*le="(20|[4-9]\d|1\d\d|\d{{3,}}).*"': "0+10xN"}
        | {rf'{FIRST_TOKEN}.*le="\+Inf"': "0+10xN", FIRST_TOKEN: "0xN"},
    ),
    Case("beginnings in time", otherwise=slower(FIRST_TOKEN, "0.001", "0.25", "5.0", "7.5")),
    Case("preemptions", ("RequestsPreempted",), otherwise={r"^vllm:num_preemptions": "0x14 5xN"}),
    Case("preemptions of an hour ago", minutes=70, otherwise={r"^vllm:num_preemptions": "0x5 5xN"}),
    Case("idle cards while requests run", ("CardsIdleUnderLoad",), otherwise={RUNNING: "2xN"}),
    Case(
        "cards that work while requests run",
        otherwise={RUNNING: "2xN", r"^fortyninety_card_utilization_ratio": "0.9xN"},
    ),
    Case("failing answers", ("RequestsFail",), otherwise={FAILED: "0+1xN", ANSWERED: "0+9xN"}),
    Case("few failing answers", otherwise={FAILED: "0+1xN", ANSWERED: "0+99xN"}),
    Case(
        "refused answers",
        otherwise={r'^haproxy_backend_http_responses.*proxy="taken",code="4xx"': "0+50xN"},
    ),
    Case(
        "an engine that starts again and again",
        ("EngineRestarts",),
        otherwise={r"^fortyninety_engine_start_timestamp": "0x4 300x4 600x4 900xN"},
    ),
    Case("a restart", otherwise={r"^fortyninety_engine_start_timestamp": "0x10 300xN"}),
    Case("a failed engine", ("EngineDown",), otherwise=state("failed")),
    Case("an engine that systemd starts again", ("EngineDown",), otherwise=state("restarting")),
    Case("an engine that loads", otherwise=state("starting")),
    Case("a stopped engine of a drained box", otherwise={**state("stopped"), DRAINED: "1xN"}),
    Case("no completion", ("EngineHangs",), otherwise=state("serving"), also={PROBE: "0xN"}),
    Case("a silent engine", ("EngineHangs",), otherwise=state("silent")),
    Case("no completion of one that loads", otherwise=state("starting"), also={PROBE: "0xN"}),
    Case("completions", otherwise=state("serving"), also={PROBE: "1xN"}),
    Case(
        "another snapshot than the inventory's",
        ("ConfigurationDrifts",),
        minutes=40,
        also={WANTED.format(SERVED[0], "f" * 40): "1xN"},
    ),
    Case(
        "another release than the inventory's",
        ("ConfigurationDrifts",),
        minutes=40,
        also={WANTED.format("0.33.0", SERVED[1]): "1xN"},
    ),
    Case("what the inventory has", minutes=40, also={WANTED.format(*SERVED): "1xN"}),
    # The cards.
    *(
        Case(f"a card that is held by {each}", ("CardHeldByHeat",), otherwise=throttle(each))
        for each in ("software_thermal", "hardware_thermal")
    ),
    *(
        Case(f"a card that is held by {each}", ("CardHeldByHardware",), otherwise=throttle(each))
        for each in ("hardware", "power_brake")
    ),
    Case(
        "a hot card, as its driver says it",
        ("CardHeldByHeat",),
        otherwise=throttle("(hardware|hardware_thermal)"),
    ),
    *(
        Case(f"a card that is held by {each}", otherwise=throttle(each))
        for each in ("power_cap", "idle", "application_clocks", "sync_boost", "display_clocks")
    ),
    Case(
        "a lost cap", ("PowerCapLost",), otherwise={r"^fortyninety_card_power_limit_watts": "450xN"}
    ),
    Case(
        "an Xid",
        ("CardError",),
        also={'fortyninety_xid_last_timestamp_seconds{box="box-1",pci="0000:01:00"}': "600xN"},
    ),
    Case(
        "an Xid of an hour ago",
        minutes=70,
        also={'fortyninety_xid_last_timestamp_seconds{box="box-1",pci="0000:01:00"}': "600xN"},
    ),
    Case("a card off the bus", ("CardGone",), otherwise={r"^fortyninety_cards_on_bus": "0xN"}),
    Case("a mute card", ("CardGone",), otherwise={r"^fortyninety_cards_answering": "0xN"}),
    Case(
        "a hanging nvidia-smi",
        ("CardGone",),
        otherwise={r'^fortyninety_nvidia_smi_state.*"hung"': "1xN"},
    ),
    Case("a slow card", ("CardSlow",), minutes=40, also=siblings(1800)),
    Case("a card that is nearly as fast", minutes=40, also=siblings(2300)),
    Case("a slow card without work", minutes=40, also=siblings(210, 0)),
    Case(
        "a narrow link",
        ("CardLinkNarrow",),
        otherwise={r"^fortyninety_card_pcie_width_lanes": "8xN"},
    ),
    # The box.
    Case("a full disk", ("DiskFilling",), otherwise={r"^node_filesystem_avail": "1000000000xN"}),
    Case(
        "a disk that fills within a day",
        ("DiskFilling",),
        minutes=DAY // 4,
        otherwise={
            r"^node_filesystem_avail": "40000000000-150000000xN",
            "^node_filesystem_size": "2e11xN",
        },
    ),
    Case(
        # As while a snapshot comes to a box that is new: a day is not told from an hour.
        "a disk that fills as fast since it is watched",
        minutes=60,
        otherwise={
            r"^node_filesystem_avail": "40000000000-150000000xN",
            "^node_filesystem_size": "2e11xN",
        },
    ),
    Case(
        "a disk with as little, that does not fill",
        minutes=DAY // 4,
        otherwise={
            r"^node_filesystem_avail": "40000000000xN",
            "^node_filesystem_size": "2e11xN",
        },
    ),
    Case(
        "a certificate that ends soon",
        ("CertificateEnds",),
        minutes=70,
        otherwise={r"^fortyninety_certificate_expiry": f"{13 * 86400}xN"},
    ),
    Case(
        "a certificate of three weeks",
        minutes=70,
        otherwise={r"^fortyninety_certificate_expiry": f"{21 * 86400}xN"},
    ),
    Case(
        "a front's certificate that ends soon",
        ("CertificateEnds",),
        minutes=70,
        also={EXPIRY.format("front"): f"{13 * 86400}xN"},
    ),
    *(
        Case(
            f"a {certificate} that ends soon",
            ("IdentityEnds",),
            minutes=70,
            also={EXPIRY.format(certificate): f"{13 * 86400}xN"},
        )
        for certificate in ("front_identity", "monitor")
    ),
    Case(
        "what boxes know hosts by, of three weeks",
        minutes=70,
        also={EXPIRY.format(each): f"{21 * 86400}xN" for each in ("front_identity", "monitor")},
    ),
    *(
        Case(
            f"an authority that ends in {days} days",
            ("AuthorityEnds",),
            minutes=70,
            also={EXPIRY.format("authority"): f"{days * 86400}xN"},
        )
        for days in (13, 179)
    ),
    Case(
        "an authority of a year",
        minutes=70,
        also={EXPIRY.format("authority"): f"{365 * 86400}xN"},
    ),
    Case("a wrong clock", ("ClockWrong",), otherwise={r"^node_time_seconds": "5+60xN"}),
    Case(
        "a clock that nobody sets",
        ("ClockWrong",),
        also={'node_timex_sync_status{box="box-1"}': "0xN"},
    ),
    Case("a clock that is set", also={'node_timex_sync_status{box="box-1"}': "1xN"}),
    Case("a silent box", ("BoxSilent",), otherwise={r'^up.*job="fortyninety-node"': "0xN"}),
    Case("a front without a box", ("FrontServesNobody",), also={FRONT: "0xN"}),
    Case("a front with one", also={FRONT: "1xN"}),
    Case("a front that had none for a minute", also={FRONT: "1x18 0xN"}),
    Case("an engine's page that is not there", otherwise={r'^up.*job="fortyninety-engine"': "0xN"}),
    Case("a stale reading", ("ReadingStale",), otherwise={r"^fortyninety_reading_time": "0xN"}),
    Case("no reading", ("ReadingStale",), otherwise={r"^fortyninety_reading_time": "_xN"}),
    Case(
        "what cannot be read",
        ("SourceUnreadable",),
        otherwise={r'^fortyninety_source_up.*"journal"': "0xN"},
    ),
    Case(
        "a box that is drained for long",
        ("DrainedLong",),
        minutes=DAY // 4,
        otherwise={DRAINED: "1xN"},
        also={SINCE: "60xN"},
    ),
    Case("a drained box", minutes=70, otherwise={DRAINED: "1xN"}, also={SINCE: "60xN"}),
    Case(
        "a reboot that is due",
        ("RebootDue",),
        minutes=DAY + 10,
        otherwise={r'^fortyninety_reboot_required.*"packages"': "1xN"},
    ),
    Case(
        "a reboot that is due since an hour",
        minutes=70,
        otherwise={r'^fortyninety_reboot_required.*"packages"': "1xN"},
    ),
    *(
        Case(
            f"a {kind} check that found something",
            ("CheckFails",),
            otherwise={TESTS.format(kind, "failed"): "2xN"},
        )
        for kind in ("whole", "partial")
    ),
    Case("a check that found nothing", otherwise={TESTS.format("whole", "skipped"): "20xN"}),
    Case(
        "a check of nine days ago, and a partial one of today",
        ("CheckOld",),
        minutes=70,
        otherwise={CHECKED.format("whole"): f"{-9 * 86400}xN", CHECKED.format("partial"): "0xN"},
    ),
    Case(
        "a check of a week ago",
        minutes=70,
        otherwise={CHECKED.format("whole"): f"{-7 * 86400}xN"},
    ),
)
