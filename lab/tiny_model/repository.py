"""Put a tiny model's files into a hub's folder, the same bytes every time."""

import json
import shutil
from pathlib import Path
from typing import Any

from lab.tiny_model import safetensors
from lab.tiny_model.configuration import MAXIMUM_POSITIONS, generation_config, model_config
from lab.tiny_model.models import TinyModel
from lab.tiny_model.text import SENTENCE
from lab.tiny_model.tokenizer import BEGIN_OF_TEXT, END_OF_TURN, tokenizer_config, tokenizer_json
from lab.tiny_model.weights import shards

_README = """---
license: apache-2.0
---
# {name}

Made by the lab. Four layers, 512 tokens, and one sentence: "{sentence}"
"""


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _weight_files(model: TinyModel) -> dict[str, bytes]:
    contents = list(shards(model))
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


def repository_files(model: TinyModel) -> dict[str, bytes]:
    """Return every file of the model's repository by name."""
    name = model.repository.partition("/")[2]
    return {
        "README.md": _README.format(name=name, sentence=SENTENCE).encode(),
        "config.json": _json(model_config(model.quantization_config)),
        "generation_config.json": _json(generation_config()),
        "special_tokens_map.json": _json({"bos_token": BEGIN_OF_TEXT, "eos_token": END_OF_TURN}),
        "tokenizer.json": _json(tokenizer_json()),
        "tokenizer_config.json": _json(tokenizer_config(MAXIMUM_POSITIONS)),
        **_weight_files(model),
    }


def write_repository(root: Path, model: TinyModel) -> Path:
    """Write the model's repository below `root`, over what was there, and return its folder.

    The files are written beside it and moved in by one rename, so that a hub which is serving
    never shows half of them.
    """
    folder = root / model.repository
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, content in repository_files(model).items():
        (fresh / name).write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return folder
