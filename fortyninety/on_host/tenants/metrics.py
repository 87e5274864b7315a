"""Add up in prometheus_client, which vLLM brings and answers /metrics from."""

from __future__ import annotations

from prometheus_client import Counter

from fortyninety.on_host.tenants.counting import LOCAL, MOST_TENANTS, OTHERS, Ending

ENDINGS: tuple[Ending, ...] = ("whole", "cut", "refused")


class PrometheusCounters:
    """The counters of one engine. There can be one in a process."""

    def __init__(self) -> None:
        self._requests = Counter(
            "fortyninety_tenant_requests_total",
            "Requests of a tenant, by how they ended",
            ["tenant", "ending"],
        )
        self._prompt = Counter(
            "fortyninety_tenant_prompt_tokens_total",
            "Tokens of the prompts of a tenant that were answered to the end",
            ["tenant"],
        )
        self._completion = Counter(
            "fortyninety_tenant_completion_tokens_total",
            "Tokens that a tenant was answered",
            ["tenant"],
        )
        self._known: set[str] = set()
        # There from the start: whether the class is loaded is read off them.
        self._begin(LOCAL)

    def add(self, tenant: str, ending: Ending, prompt: int, completion: int) -> None:
        """Add a request of a tenant, and its tokens."""
        if tenant not in self._known:
            if len(self._known) >= MOST_TENANTS:
                tenant = OTHERS
            else:
                self._begin(tenant)
        self._requests.labels(tenant, ending).inc()
        self._prompt.labels(tenant).inc(prompt)
        self._completion.labels(tenant).inc(completion)

    def _begin(self, tenant: str) -> None:
        # From zero, so that the first request is an increase.
        self._known.add(tenant)
        for ending in ENDINGS:
            self._requests.labels(tenant, ending)
        self._prompt.labels(tenant)
        self._completion.labels(tenant)
