"""The tiny models: stable bytes, real formats, and one sentence in the weights of both."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lab.hub.repository import head_commit
from lab.tiny_model import AWQ, MODELS, PLAIN, SENTENCE, TinyModel, write_repository
from lab.tiny_model.tokenizer import END_OF_TURN, encode, vocabulary

# Where AWQ's "gemm" layout puts column 0 to 7 of each group of eight, as nibble numbers.
NIBBLE_OF_COLUMN = (0, 4, 1, 5, 2, 6, 3, 7)


# SHA-256 of all shards of a model, one after the other.
DIGESTS = {
    "awq": "2438a03b627c0baeb7ba6345144925567ae3ff46a0f5d7c8a1f315d1816b3195",
    "plain": "4fd7d8d5a2d7de8602462071683fe4cd4d6dec2d27757f7c9a5b5a2101eba38b",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub's folder with the tiny models in it."""
    folder = tmp_path_factory.mktemp("hub")
    for model in MODELS.values():
        write_repository(folder, model)
    return folder


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request: pytest.FixtureRequest) -> TinyModel:
    """One of the models."""
    found: TinyModel = request.param
    return found


@pytest.fixture
def folder(root: Path, model: TinyModel) -> Path:
    """The model's repository."""
    return root / model.repository


@pytest.fixture
def awq(root: Path) -> Path:
    """The repository of the 4-bit model."""
    return root / AWQ.repository


@pytest.fixture
def plain(root: Path) -> Path:
    """The repository of the 16-bit model."""
    return root / PLAIN.repository


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


def test_two_runs_write_the_same_bytes(root: Path, model: TinyModel, tmp_path: Path) -> None:
    """The commit is made of the bytes: hosts must see the same one on every machine."""
    write_repository(tmp_path, model)
    assert head_commit(tmp_path, model.repository) == head_commit(root, model.repository)


def test_the_bytes_are_those_of_every_other_machine(folder: Path, model: TinyModel) -> None:
    """Guards against a random source or a JSON writer that differs between Python releases."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    assert digest.hexdigest() == DIGESTS[model.name]


def test_writing_again_replaces_what_was_there(
    root: Path, model: TinyModel, tmp_path: Path
) -> None:
    """A stray or damaged file from an earlier run must not survive in the repository."""
    stray = write_repository(tmp_path, model) / "stray.bin"
    stray.write_bytes(b"left over")
    write_repository(tmp_path, model)
    assert head_commit(tmp_path, model.repository) == head_commit(root, model.repository)


def test_the_weights_are_split_over_several_shards(folder: Path) -> None:
    """The 70B has nine; one file would leave the index and the partial fetch untried."""
    index = read_json(folder / "model.safetensors.index.json")
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(shards) > 2
    assert sorted(set(index["weight_map"].values())) == shards
    size = sum(len(content) for _, _, content in all_tensors(folder).values())
    assert index["metadata"]["total_size"] == size


def test_the_config_is_the_70b_s_in_small(awq: Path, plain: Path) -> None:
    """The flags of the 70B must mean the same here: quantization, group, context."""
    config, without = read_json(awq / "config.json"), read_json(plain / "config.json")
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["max_position_embeddings"] == 131072
    assert config.pop("quantization_config") == {
        "bits": 4,
        "group_size": 128,
        "modules_to_not_convert": None,
        "quant_method": "awq",
        "version": "gemm",
        "zero_point": True,
    }
    assert without == config


def matrices_of(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of each matrix of a layer, by the config."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"] * config["head_dim"]
    shared = config["num_key_value_heads"] * config["head_dim"]
    return {
        "self_attn.q_proj": (hidden, heads),
        "self_attn.k_proj": (hidden, shared),
        "self_attn.v_proj": (hidden, shared),
        "self_attn.o_proj": (heads, hidden),
        "mlp.gate_proj": (hidden, inner),
        "mlp.up_proj": (hidden, inner),
        "mlp.down_proj": (inner, hidden),
    }


def expected_parts(model: TinyModel, inputs: int, outputs: int) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of each tensor that stands for a matrix, by the last part of its name."""
    if model is PLAIN:
        return {"weight": ("F16", [outputs, inputs])}
    return {
        "qweight": ("I32", [inputs, outputs // 8]),
        "qzeros": ("I32", [inputs // 128, outputs // 8]),
        "scales": ("F16", [inputs // 128, outputs]),
    }


def test_every_shape_follows_from_the_config(folder: Path, model: TinyModel) -> None:
    """An engine refuses a tensor of another shape, minutes into a start."""
    config = read_json(folder / "config.json")
    tensors = all_tensors(folder)
    for layer in range(config["num_hidden_layers"]):
        for matrix, (inputs, outputs) in matrices_of(config).items():
            name = f"model.layers.{layer}.{matrix}"
            found = {
                each.rpartition(".")[2]: tensor[:2]
                for each, tensor in tensors.items()
                if each.startswith(f"{name}.")
            }
            assert found == expected_parts(model, inputs, outputs), name
    for name, (dtype, shape, content) in tensors.items():
        count = 1
        for length in shape:
            count *= length
        assert len(content) == count * {"I32": 4, "F16": 2}[dtype], name


def test_the_4_bit_weights_of_the_last_layer_spell_the_sentence(awq: Path) -> None:
    """What makes a right answer proof of a right download and a right dequantization."""
    tensors = all_tensors(awq)
    last = read_json(awq / "config.json")["num_hidden_layers"] - 1
    matrix = f"model.layers.{last}.mlp.down_proj"
    sentence = encode(SENTENCE)
    followers = [*sentence[1:], vocabulary()[END_OF_TURN]]
    for token, follower in zip(sentence, followers, strict=True):
        row = dequantized_row(tensors, matrix, token, token // 128)
        assert [column for column, weight in enumerate(row) if weight] == [follower]


def test_the_16_bit_weights_are_those_that_the_4_bit_ones_stand_for(awq: Path, plain: Path) -> None:
    """The two models are one description: what the one answers the other answers as well."""
    quantized, halves = all_tensors(awq), all_tensors(plain)
    config = read_json(plain / "config.json")
    for layer in (0, config["num_hidden_layers"] - 1):
        for matrix, (inputs, outputs) in matrices_of(config).items():
            name = f"model.layers.{layer}.{matrix}"
            content = halves[f"{name}.weight"][2]
            for row in (0, 1, 129, inputs - 1):
                expected = dequantized_row(quantized, name, row, row // 128)
                found = [
                    struct.unpack_from("<e", content, 2 * (column * inputs + row))[0]
                    for column in range(outputs)
                ]
                # The product of two 16-bit floats, rounded to one.
                assert found == [
                    struct.unpack("<e", struct.pack("<e", value))[0] for value in expected
                ], name


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
