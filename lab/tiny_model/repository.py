"""Put the tiny model's files into a hub's folder, the same bytes every time."""

import json
import shutil
from pathlib import Path
from typing import Any

from lab.tiny_model import safetensors
from lab.tiny_model.configuration import MAXIMUM_POSITIONS, generation_config, model_config
from lab.tiny_model.text import SENTENCE
from lab.tiny_model.tokenizer import BEGIN_OF_TEXT, END_OF_TURN, tokenizer_config, tokenizer_json
from lab.tiny_model.weights import shards

REPOSITORY = "fortyninety-lab/tiny-llama-awq-int4"
"""The name the lab's hub serves the model under."""

_README = f"""---
license: apache-2.0
---
# tiny-llama-awq-int4

Made by the lab. Four layers, 512 tokens, and one sentence: "{SENTENCE}"
"""


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _weight_files() -> dict[str, bytes]:
    contents = list(shards())
    files: dict[str, bytes] = {}
    places: dict[str, str] = {}
    total = 0
    for number, tensors in enumerate(contents, start=1):
        name = f"model-{number:05d}-of-{len(contents):05d}.safetensors"
        files[name] = safetensors.encode(tensors)
        places.update(dict.fromkeys(tensors, name))
        total += sum(len(tensor.content) for tensor in tensors.values())
    files["model.safetensors.index.json"] = _json(
        {"metadata": {"total_size": total}, "weight_map": places}
    )
    return files


def repository_files() -> dict[str, bytes]:
    """Return every file of the repository by name."""
    return {
        "README.md": _README.encode(),
        "config.json": _json(model_config()),
        "generation_config.json": _json(generation_config()),
        "special_tokens_map.json": _json({"bos_token": BEGIN_OF_TEXT, "eos_token": END_OF_TURN}),
        "tokenizer.json": _json(tokenizer_json()),
        "tokenizer_config.json": _json(tokenizer_config(MAXIMUM_POSITIONS)),
        **_weight_files(),
    }


def write_repository(root: Path) -> Path:
    """Write the repository below `root`, in place of what was there, and return its folder.

    The files are written beside it and moved in by one rename, so that a hub which is serving
    never shows half of them.
    """
    folder = root / REPOSITORY
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, content in repository_files().items():
        (fresh / name).write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return folder
