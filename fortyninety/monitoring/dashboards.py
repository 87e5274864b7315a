"""Show a fleet, a box and its tenants in Grafana: the panels, and the JSON that Grafana reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# The form of a dashboard that Grafana 9.0 writes; later ones read it.
SCHEMA = 36
_WIDTH, _HEIGHT, _IN_A_ROW = 8, 7, 3
_SOURCE = {"type": "prometheus", "uid": "${source}"}
# What stands for the box that somebody chose, in the expressions of a box's dashboard.
CHOSEN = 'box="$box"'


@dataclass(frozen=True)
class Panel:
    """A graph: what is asked, each with the name of its lines, and in which unit (Grafana's)."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Dashboard:
    """A page of panels, of all boxes or of the one that is chosen."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    of_a_box: bool = False


def _panel(title: str, unit: str, *queries: str) -> Panel:
    """A panel of expressions and the names of their lines, by turns."""
    return Panel(title, unit, tuple(zip(queries[::2], queries[1::2], strict=True)))


_FAILING = 'count by (box) (ALERTS{alertstate="firing",project="fortyninety"})'
FLEET = Dashboard(
    "fleet",
    "Fleet",
    (
        _panel("State of each box", "bool", "fortyninety_engine_state == 1", "{{box}} {{state}}"),
        _panel("Alerts that fire", "none", f"{_FAILING} or 0 * max by (box) (up)", "{{box}}"),
        _panel("Drained", "bool", "fortyninety_drained", "{{box}}"),
        _panel("Tokens made", "tps", "fortyninety:generated_tokens:rate5m", "{{box}}"),
        _panel("Tokens read", "tps", "fortyninety:prompt_tokens:rate5m", "{{box}}"),
        _panel(
            "Requests",
            "none",
            *("fortyninety:requests_running", "{{box}} running"),
            *("fortyninety:requests_waiting", "{{box}} waiting"),
        ),
        _panel("First token, p95", "s", "fortyninety:first_token_seconds:p95", "{{box}}"),
        _panel("Between tokens, p95", "s", "fortyninety:inter_token_seconds:p95", "{{box}}"),
        _panel("Failed answers", "percentunit", "fortyninety:failed_answers:ratio5m", "{{box}}"),
        _panel("KV cache in use", "percentunit", "fortyninety:kv_usage:ratio", "{{box}}"),
        _panel("Draw", "watt", "sum by (box) (fortyninety_card_power_draw_watts)", "{{box}}"),
        _panel(
            "Hottest card",
            "celsius",
            "max by (box) (fortyninety_card_temperature_celsius)",
            "{{box}}",
        ),
    ),
)


def _of_cards(metric: str) -> tuple[str, str]:
    return f"fortyninety_card_{metric}{{{CHOSEN}}}", "card {{card}}"


BOX = Dashboard(
    "box",
    "Box",
    (
        _panel("State", "bool", f"fortyninety_engine_state{{{CHOSEN}}}", "{{state}}"),
        _panel(
            "Tokens",
            "tps",
            *(f"fortyninety:generated_tokens:rate5m{{{CHOSEN}}}", "made"),
            *(f"fortyninety:prompt_tokens:rate5m{{{CHOSEN}}}", "read"),
        ),
        _panel(
            "Requests",
            "none",
            *(f"fortyninety:requests_running{{{CHOSEN}}}", "running"),
            *(f"fortyninety:requests_waiting{{{CHOSEN}}}", "waiting"),
        ),
        _panel("KV cache in use", "percentunit", f"fortyninety:kv_usage:ratio{{{CHOSEN}}}", "used"),
        _panel(
            "Prompts from the cache",
            "percentunit",
            f"fortyninety:prefix_hit:ratio{{{CHOSEN}}}",
            "hits",
        ),
        _panel(
            "Preemptions in 10 min",
            "none",
            *(f"fortyninety:preemptions:increase10m{{{CHOSEN}}}", "preempted"),
        ),
        _panel(
            "Wait and first token, p95",
            "s",
            *(f"fortyninety:first_token_seconds:p95{{{CHOSEN}}}", "first token"),
            *(f"fortyninety:queue_seconds:p95{{{CHOSEN}}}", "wait"),
        ),
        _panel(
            "Between tokens",
            "s",
            *(f"fortyninety:inter_token_seconds:p50{{{CHOSEN}}}", "p50"),
            *(f"fortyninety:inter_token_seconds:p95{{{CHOSEN}}}", "p95"),
        ),
        _panel(
            "Answers",
            "reqps",
            *(
                "sum by (code) (rate(haproxy_frontend_http_responses_total"
                f'{{{CHOSEN},proxy="api"}}[5m]) or rate(haproxy_backend_http_responses_total'
                f'{{{CHOSEN},proxy="engine-or-another"}}[5m]))',
                "{{code}}",
            ),
        ),
        _panel("Memory of cards", "bytes", *_of_cards("memory_used_bytes")),
        _panel(
            "Draw and cap",
            "watt",
            *_of_cards("power_draw_watts"),
            *(f"fortyninety_card_power_limit_watts{{{CHOSEN}}}", "cap of {{card}}"),
        ),
        _panel("Heat", "celsius", *_of_cards("temperature_celsius")),
        _panel("Utilisation", "percentunit", *_of_cards("utilization_ratio")),
        _panel(
            "Clock",
            "hertz",
            *(f'fortyninety_card_clock_hertz{{{CHOSEN},clock="sm"}}', "card {{card}}"),
        ),
        _panel(
            "What holds the clocks down",
            "bool",
            *(f"max by (reason) (fortyninety_card_throttle_active{{{CHOSEN}}})", "{{reason}}"),
        ),
        _panel(
            "Disk in use",
            "percentunit",
            f"1 - node_filesystem_avail_bytes{{{CHOSEN}}} / node_filesystem_size_bytes{{{CHOSEN}}}",
            "{{mountpoint}}",
        ),
        _panel(
            "Processor in use",
            "percentunit",
            f'1 - avg by (box) (rate(node_cpu_seconds_total{{{CHOSEN},mode="idle"}}[5m]))',
            "used",
        ),
        _panel(
            "Memory in use",
            "percentunit",
            f"1 - node_memory_MemAvailable_bytes{{{CHOSEN}}}"
            f" / node_memory_MemTotal_bytes{{{CHOSEN}}}",
            "used",
        ),
        _panel(
            "Age of the reading",
            "s",
            f"time() - fortyninety_reading_timestamp_seconds{{{CHOSEN}}}",
            "age",
        ),
        _panel(
            "Tests of the last check",
            "none",
            f"fortyninety_check_tests{{{CHOSEN}}}",
            "{{check}}: {{outcome}}",
        ),
        _panel(
            "Age of the last check",
            "s",
            f"time() - fortyninety_check_timestamp_seconds{{{CHOSEN}}}",
            "{{check}}",
        ),
        _panel(
            "Certificate's time left",
            "s",
            # The authority's ten years would hide the months of the others.
            "fortyninety_certificate_expiry_timestamp_seconds"
            f'{{{CHOSEN},certificate!="authority"}} - time()',
            "{{certificate}}",
        ),
        _panel(
            "Network",
            "Bps",
            *(
                f"sum by (box) (rate(node_network_receive_bytes_total"
                f'{{{CHOSEN},device!="lo"}}[5m]))',
                "received",
            ),
            *(
                f"sum by (box) (rate(node_network_transmit_bytes_total"
                f'{{{CHOSEN},device!="lo"}}[5m]))',
                "sent",
            ),
        ),
    ),
    of_a_box=True,
)

_BY_TENANT = "sum by (tenant) (rate(fortyninety_tenant_{}_total[5m]))"
TENANTS = Dashboard(
    "tenants",
    "Tenants",
    (
        _panel("Tokens answered", "tps", _BY_TENANT.format("completion_tokens"), "{{tenant}}"),
        _panel("Tokens of prompts", "tps", _BY_TENANT.format("prompt_tokens"), "{{tenant}}"),
        _panel("Requests", "reqps", _BY_TENANT.format("requests"), "{{tenant}}"),
        _panel(
            "Tokens answered in a day",
            "none",
            *("sum by (tenant) (increase(fortyninety_tenant_completion_tokens_total[1d]))",),
            "{{tenant}}",
        ),
        _panel(
            "Requests that were cut or refused",
            "reqps",
            *(
                "sum by (tenant, ending) "
                '(rate(fortyninety_tenant_requests_total{ending!="whole"}[5m]))',
                "{{tenant}} {{ending}}",
            ),
        ),
        _panel(
            "Answers of gateways",
            "reqps",
            'sum by (code) (rate(haproxy_frontend_http_responses_total{proxy="api"}[5m]))',
            "{{code}}",
        ),
    ),
)
DASHBOARDS = (FLEET, BOX, TENANTS)


def dashboard_text(dashboard: Dashboard) -> str:
    """The dashboard as Grafana imports it."""
    variables: list[dict[str, Any]] = [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    ]
    if dashboard.of_a_box:
        query = 'label_values(up{job="fortyninety-node"}, box)'
        variables.append(
            {
                "name": "box",
                "label": "Box",
                "type": "query",
                "datasource": _SOURCE,
                "query": query,
                "definition": query,
                "refresh": 2,
                "sort": 1,
            }
        )
    page = {
        "uid": f"fortyninety-{dashboard.name}",
        "title": f"fortyninety: {dashboard.title}",
        "tags": ["fortyninety"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": [_panel_values(place, each) for place, each in enumerate(dashboard.panels)],
    }
    return json.dumps(page, indent=1) + "\n"


def _panel_values(place: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(place, _IN_A_ROW)
    return {
        "id": place + 1,
        "title": panel.title,
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": _UNITS.get(panel.unit, panel.unit)}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expression}
            | {"legendFormat": legend}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }


# Of units that Grafana has no name for.
_UNITS = {"tps": "suffix: tokens/s", "bool": "none"}
