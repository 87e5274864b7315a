from __future__ import annotations

from dataclasses import fields

from fortyninety.checkout import ROOT
from fortyninety.engine import metric_names
from fortyninety.engine.metrics import Metrics, grown, read_metrics

# A real 0.24.0's while 24 clients asked, of which it takes 16 at once.
RECORDED = (ROOT / "tests/unit/monitoring/recorded/vllm-0.24.0.metrics").read_text()

V0_32 = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/model"} 2.0
vllm:num_requests_waiting{engine="0",model_name="org/model"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="org/model",reason="capacity"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/model"} 0.25
vllm:prefix_cache_queries_total{engine="0",model_name="org/model"} 100.0
vllm:prefix_cache_queries_created{engine="0",model_name="org/model"} 1.7957414019783797e+09
vllm:prefix_cache_hits_total{engine="0",model_name="org/model"} 40.0
vllm:num_preemptions_total{engine="0",model_name="org/model"} 3.0
vllm:prompt_tokens_total{engine="0",model_name="org/model"} 100.0
vllm:generation_tokens_total{engine="0",model_name="org/model"} 1.2e+03
vllm:request_success_total{engine="0",finished_reason="stop",model_name="org/model"} 4.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="org/model"} 5.0
"""
# As recorded of 0.8.5.post1 with an fp8 cache: no word of the prefix cache.
V0_8 = """\
vllm:num_preemptions_total{model_name="org/model"} 0.0
vllm:prompt_tokens_total{model_name="org/model"} 111114.0
vllm:generation_tokens_total{model_name="org/model"} 9848.0
vllm:request_success_total{finished_reason="length",model_name="org/model"} 53.0
vllm:num_requests_running{model_name="org/model"} 0.0
vllm:num_requests_waiting{model_name="org/model"} 0.0
vllm:gpu_cache_usage_perc{model_name="org/model"} 0.75
"""


def test_the_metrics_of_the_latest_release() -> None:
    assert read_metrics(V0_32) == Metrics(
        running=2,
        waiting=1,
        kv_usage=0.25,
        prompt_tokens=100,
        generated_tokens=1200,
        prefix_queries=100,
        prefix_hits=40,
        prefix_hit_share=None,
        preemptions=3,
        finished=9,
    )


def test_those_of_earlier_ones_by_their_other_names() -> None:
    found = read_metrics(V0_8)
    assert (found.kv_usage, found.generated_tokens, found.finished) == (0.75, 9848, 53)
    assert (found.prefix_queries, found.prefix_hits, found.prefix_hit_share) == (None, None, None)
    share = 'vllm:gpu_prefix_cache_hit_rate{model_name="m"} '
    assert read_metrics(f"{share}0.5\n").prefix_hit_share == 0.5
    assert read_metrics(f"{share}-1.0\n").prefix_hit_share is None


def test_a_release_between_those_that_are_deployed_is_read_under_load() -> None:
    found = read_metrics(RECORDED)
    assert (found.running, found.waiting, found.preemptions) == (14, 3, 0)
    assert found.kv_usage is not None and 0.41 < found.kv_usage < 0.42
    assert (found.prompt_tokens, found.generated_tokens, found.finished) == (118_557, 9_858, 78)
    assert (found.prefix_queries, found.prefix_hits) == (121_557, 0)
    # Only of engines without the two counters.
    lacking = {each.name for each in fields(Metrics) if getattr(found, each.name) is None}
    assert lacking == {"prefix_hit_share"}
    for histogram in (metric_names.FIRST_TOKEN, metric_names.INTER_TOKEN, metric_names.QUEUE_TIME):
        assert any(f"\n{name}_bucket{{" in RECORDED for name in histogram), histogram


def test_several_engines_behind_one_address_are_added_up_and_the_fullest_counts() -> None:
    text = V0_32 + V0_32.replace('engine="0"', 'engine="1"').replace("} 0.25", "} 0.5")
    found = read_metrics(text)
    assert (found.running, found.generated_tokens, found.kv_usage) == (4, 2400, 0.5)


def test_what_is_no_sample_is_left_out() -> None:
    odd = (
        "vllm:num_requests_running{} nan\nvllm:num_requests_running 1e999\nx\n\x1b[2J 1\n{} {} 3\n"
    )
    assert read_metrics(odd) == Metrics()
    assert read_metrics("vllm:num_requests_running " + "1" * 100) == Metrics()


def test_a_counter_that_fell_began_anew() -> None:
    assert grown(3, 5) == 2
    assert grown(5, 3) is None
    assert grown(None, 3) is None
