"""Name what an engine's /metrics says: releases call the same thing differently.

The one table of it. A name that a release does not export is not there, and of several the first
that is there is meant.
"""

from __future__ import annotations

# Requests that the engine works on, and those that wait for room.
RUNNING = ("vllm:num_requests_running",)
WAITING = ("vllm:num_requests_waiting",)
# The used part of the KV cache: 0 to 1, whatever the name says.
KV_USAGE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
# Counters of tokens read and made. `prompt` counts those that the prefix cache had as well.
PROMPT_TOKENS = ("vllm:prompt_tokens_total",)
GENERATED_TOKENS = ("vllm:generation_tokens_total",)
# Counters of tokens asked of the prefix cache and found there: 0.32, then 0.8's V1 engine.
PREFIX_QUERIES = ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total")
PREFIX_HITS = ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")
# 0.6.3, and 0.8 with its V0 engine where it has it: no counters but this share, -1 without a cache.
PREFIX_HIT_SHARE = ("vllm:gpu_prefix_cache_hit_rate",)
PREEMPTIONS = ("vllm:num_preemptions_total",)
# A counter with a label `finished_reason`: stop, length, abort.
FINISHED = ("vllm:request_success_total",)
# Histograms in seconds; `_bucket`, `_sum` and `_count` follow.
FIRST_TOKEN = ("vllm:time_to_first_token_seconds",)
INTER_TOKEN = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
QUEUE_TIME = ("vllm:request_queue_time_seconds",)
