"""Write the safetensors format: a length, a JSON header, the tensors' bytes one after the other."""

import json
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Tensor:
    """One tensor: `dtype` in the format's spelling (`F16`, `I32`), its shape and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes


def encode(tensors: dict[str, Tensor]) -> bytes:
    """Return the bytes of a safetensors file that holds `tensors`, in the order given."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + len(tensor.content)
        header[name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    # Readers map the file: the tensors start at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    contents = b"".join(tensor.content for tensor in tensors.values())
    return struct.pack("<Q", len(text)) + text + contents
