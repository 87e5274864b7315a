"""Read from a config.json which layers look back only so many tokens: a sliding window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fortyninety.fit.config_values import flag, refused, size, texts

# Positions, as for a context.
MOST_WINDOW = 1 << 26

Windows = tuple[int | None, ...]
"""The window of each layer in tokens; None for one that looks at everything."""

# How the layers alternate where config.json does not list them. Sources: gemma2.py, gemma3.py and
# gpt_oss.py in vllm/model_executor/models of 0.8.5.post1 and 0.32.0.
_EVERY_OTHER = ("Gemma2ForCausalLM", "GptOssForCausalLM")
_ALL_BUT_EVERY_NTH = "Gemma3ForCausalLM"
_MOST_PATTERN = 100


def read_windows(config: Mapping[str, Any], name: str, layers: int) -> Windows:
    """The windows of a checkpoint's layers. Raises CheckpointError for what is not understood."""
    if config.get("sliding_window") is None:
        return (None,) * layers
    # Qwen's have a window that they do not use. Source: get_hf_config_sliding_window in
    # vllm/config.py of 0.6.3.post1 and 0.8.5.post1.
    if config.get("use_sliding_window") is not None and not flag(config, "use_sliding_window"):
        return (None,) * layers
    window = size(config, "sliding_window", MOST_WINDOW)
    if config.get("use_sliding_window") is not None:
        raise refused("use_sliding_window", True, "false: which layers slide differs by release")
    alternates = name in _EVERY_OTHER or name == _ALL_BUT_EVERY_NTH
    if alternates and config.get("layer_types") is not None:
        kinds = texts(config, "layer_types", most=layers, longest=40)
        known = {"sliding_attention": window, "full_attention": None}
        if len(kinds) != layers or not set(kinds) <= set(known):
            expected = f"{layers} of {' and '.join(known)}"
            raise refused("layer_types", list(kinds), expected)
        return tuple(known[kind] for kind in kinds)
    if name in _EVERY_OTHER:
        return tuple(None if layer % 2 else window for layer in range(layers))
    if name == _ALL_BUT_EVERY_NTH:
        every = size(config, "sliding_window_pattern", _MOST_PATTERN, 6)
        return tuple(None if (layer + 1) % every == 0 else window for layer in range(layers))
    return (window,) * layers
