"""The tiny model: stable bytes, real formats, and one sentence in its 4-bit weights."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lab.hub.repository import head_commit
from lab.tiny_model import REPOSITORY, SENTENCE, write_repository
from lab.tiny_model.tokenizer import END_OF_TURN, encode, vocabulary

# Where AWQ's "gemm" layout puts column 0 to 7 of each group of eight, as nibble numbers.
NIBBLE_OF_COLUMN = (0, 4, 1, 5, 2, 6, 3, 7)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub's folder with the tiny model in it."""
    folder = tmp_path_factory.mktemp("hub")
    write_repository(folder)
    return folder


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    """The repository's folder."""
    return root / REPOSITORY


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def read_tensors(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    """Read a safetensors file by the format's own description: dtype, shape and bytes by name."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    data = content[8 + length :]
    return {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def all_tensors(folder: Path) -> dict[str, tuple[str, list[int], bytes]]:
    """Read every shard that the index names."""
    places = read_json(folder / "model.safetensors.index.json")["weight_map"]
    tensors: dict[str, tuple[str, list[int], bytes]] = {}
    for shard in sorted(set(places.values())):
        tensors |= read_tensors(folder / shard)
    assert tensors.keys() == places.keys()
    return tensors


def dequantized_row(tensors: dict[str, Any], matrix: str, row: int, group: int) -> list[float]:
    """Return one input row of a 4-bit matrix: (weight - zero) * scale, column by column."""
    _, (_, words), qweight = tensors[f"{matrix}.qweight"]
    weights = struct.unpack_from(f"<{words}I", qweight, 4 * words * row)
    zeros = struct.unpack_from(f"<{words}I", tensors[f"{matrix}.qzeros"][2], 4 * words * group)
    columns = 8 * words
    scales = struct.unpack_from(f"<{columns}e", tensors[f"{matrix}.scales"][2], 2 * columns * group)
    return [
        (
            (weights[column // 8] >> 4 * NIBBLE_OF_COLUMN[column % 8] & 15)
            - (zeros[column // 8] >> 4 * NIBBLE_OF_COLUMN[column % 8] & 15)
        )
        * scales[column]
        for column in range(columns)
    ]


def test_two_runs_write_the_same_bytes(root: Path, tmp_path: Path) -> None:
    """The commit is made of the bytes: hosts must see the same one on every machine."""
    write_repository(tmp_path)
    assert head_commit(tmp_path, REPOSITORY) == head_commit(root, REPOSITORY)


def test_the_bytes_are_those_of_every_other_machine(folder: Path) -> None:
    """Guards against a random source or a JSON writer that differs between Python releases."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    assert digest.hexdigest() == "829aa8e42ee3228f04b1510af75805db326b1efc195813ecb3c1dd4255275c78"


def test_writing_again_replaces_what_was_there(root: Path, tmp_path: Path) -> None:
    """A stray or damaged file from an earlier run must not survive in the repository."""
    stray = write_repository(tmp_path) / "stray.bin"
    stray.write_bytes(b"left over")
    write_repository(tmp_path)
    assert head_commit(tmp_path, REPOSITORY) == head_commit(root, REPOSITORY)


def test_the_weights_are_split_over_several_shards(folder: Path) -> None:
    """The 70B has nine; one file would leave the index and the partial fetch untried."""
    index = read_json(folder / "model.safetensors.index.json")
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(shards) > 2
    assert sorted(set(index["weight_map"].values())) == shards
    size = sum(len(content) for _, _, content in all_tensors(folder).values())
    assert index["metadata"]["total_size"] == size


def test_the_config_is_the_70b_s_in_small(folder: Path) -> None:
    """The flags of the 70B must mean the same here: quantization, group, context."""
    config = read_json(folder / "config.json")
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["max_position_embeddings"] == 131072
    assert config["quantization_config"] == {
        "bits": 4,
        "group_size": 128,
        "modules_to_not_convert": None,
        "quant_method": "awq",
        "version": "gemm",
        "zero_point": True,
    }


def test_every_shape_follows_from_the_config(folder: Path) -> None:
    """An engine refuses a tensor of another shape, minutes into a start."""
    config = read_json(folder / "config.json")
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"] * config["head_dim"]
    shared = config["num_key_value_heads"] * config["head_dim"]
    matrices = {
        "self_attn.q_proj": (hidden, heads),
        "self_attn.k_proj": (hidden, shared),
        "self_attn.v_proj": (hidden, shared),
        "self_attn.o_proj": (heads, hidden),
        "mlp.gate_proj": (hidden, inner),
        "mlp.up_proj": (hidden, inner),
        "mlp.down_proj": (inner, hidden),
    }
    tensors = all_tensors(folder)
    for layer in range(config["num_hidden_layers"]):
        for matrix, (inputs, outputs) in matrices.items():
            name = f"model.layers.{layer}.{matrix}"
            shapes = [tensors[f"{name}.{part}"][:2] for part in ("qweight", "qzeros", "scales")]
            assert shapes == [
                ("I32", [inputs, outputs // 8]),
                ("I32", [inputs // 128, outputs // 8]),
                ("F16", [inputs // 128, outputs]),
            ], name
    for name, (dtype, shape, content) in tensors.items():
        count = 1
        for length in shape:
            count *= length
        assert len(content) == count * {"I32": 4, "F16": 2}[dtype], name


def test_the_4_bit_weights_of_the_last_layer_spell_the_sentence(folder: Path) -> None:
    """What makes a right answer proof of a right download and a right dequantization."""
    tensors = all_tensors(folder)
    last = read_json(folder / "config.json")["num_hidden_layers"] - 1
    matrix = f"model.layers.{last}.mlp.down_proj"
    sentence = encode(SENTENCE)
    followers = [*sentence[1:], vocabulary()[END_OF_TURN]]
    for token, follower in zip(sentence, followers, strict=True):
        row = dequantized_row(tensors, matrix, token, token // 128)
        assert [column for column, weight in enumerate(row) if weight] == [follower]


def test_the_model_stops_when_its_sentence_is_said(folder: Path) -> None:
    """Else every completion would run to its limit."""
    assert vocabulary()[END_OF_TURN] in read_json(folder / "config.json")["eos_token_id"]


def test_the_tokenizer_knows_every_byte_and_every_word_of_the_sentence(folder: Path) -> None:
    """Any prompt can be encoded, and the sentence is one token a word."""
    model = read_json(folder / "tokenizer.json")["model"]
    assert sum(len(token) == 1 for token in model["vocab"]) == 256
    assert len(encode(SENTENCE)) < len(SENTENCE) / 3
    for merge in model["merges"]:
        left, right = merge.split(" ")
        assert left + right in model["vocab"]
