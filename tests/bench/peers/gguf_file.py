"""Reads the header of a GGUF file (version 2 or 3) and writes new files. Standard library only.

Written from the format's specification (GGUF v3: magic, counts, key-values, tensor infos, aligned data).
"""

import mmap
import struct

MAGIC = b"GGUF"
ALIGNMENT = 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
# type number: (name, elements of a block, bytes of a block)
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
         7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
         14: ("Q6_K", 256, 210), 30: ("BF16", 1, 2)}
NUMBER = {name: number for number, (name, _, _) in TYPES.items()}


def tensor_bytes(type_number, shape):
    _, block, size = TYPES[type_number]
    elements = 1
    for extent in shape:
        elements *= extent
    return elements // block * size


class Reader:
    """metadata: {key: (type, value)} with arrays as (element type, list); tensors: [(name, shape, type number)],
    shape fastest dimension first."""

    def __init__(self, path):
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            self._data, self._at = data, 0
            if data[:4] != MAGIC:
                raise ValueError(f"{path}: not a GGUF file")
            self._at = 4
            version, num_tensors, num_pairs = self._scalar(UINT32), self._scalar(10), self._scalar(10)
            if version not in (2, 3):
                raise ValueError(f"{path}: GGUF version {version}, wanted 2 or 3")
            self.metadata = {}
            for _ in range(num_pairs):
                key, kind = self._string(), self._scalar(UINT32)
                self.metadata[key] = (kind, self._value(kind))
            self.tensors = []
            for _ in range(num_tensors):
                name, rank = self._string(), self._scalar(UINT32)
                shape = [self._scalar(10) for _ in range(rank)]
                kind = self._scalar(UINT32)
                self._scalar(10)  # offset
                self.tensors.append((name, shape, kind))

    def _scalar(self, kind):
        layout = _SCALARS[kind]
        (value,) = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return value

    def _string(self):
        size = self._scalar(10)
        text = self._data[self._at:self._at + size]
        self._at += size
        return text

    def _value(self, kind):
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            element, count = self._scalar(UINT32), self._scalar(10)
            return element, [self._value(element) for _ in range(count)]
        return self._scalar(kind)


def sizes(tensors):
    """{"weights", "bits", "bytes_per_token", "body_weights"} of a decoder: what one decoded token multiplies by. The
    embedding counts where it is the head too (no output.weight)."""
    tied = all(name != b"output.weight" for name, _, _ in tensors)
    weights = total = head = 0
    for name, shape, kind in tensors:
        if len(shape) < 2 or (name == b"token_embd.weight" and not tied):
            continue
        count = shape[0] * shape[1]
        weights += count
        total += tensor_bytes(kind, shape)
        if name in (b"output.weight", b"token_embd.weight"):
            head = count
    return {"weights": weights, "body_weights": weights - head, "bytes_per_token": total,
            "bits": 8 * total / max(weights, 1)}


def _pack_string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def _pack_value(kind, value):
    if kind == STRING:
        return _pack_string(value)
    if kind == ARRAY:
        element, values = value
        return struct.pack("<IQ", element, len(values)) + b"".join(_pack_value(element, v) for v in values)
    return struct.pack(_SCALARS[kind], value)


def write(path, metadata, tensors):
    """metadata as in Reader; tensors: [(name, shape, type number, make)], where make() gives the tensor's bytes: they
    are written one after another, so that a file may be larger than memory."""
    with open(path, "wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, (kind, value) in metadata.items():
            file.write(_pack_string(key) + struct.pack("<I", kind) + _pack_value(kind, value))
        offset = 0
        for name, shape, kind, _ in tensors:
            file.write(_pack_string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
            file.write(struct.pack("<IQ", kind, offset))
            offset += -(-tensor_bytes(kind, shape) // ALIGNMENT) * ALIGNMENT
        file.write(b"\0" * (-file.tell() % ALIGNMENT))
        for name, shape, kind, make in tensors:
            data = make()
            if len(data) != tensor_bytes(kind, shape):
                raise ValueError(f"{name}: got {len(data)} bytes, wanted {tensor_bytes(kind, shape)}")
            file.write(data)
            file.write(b"\0" * (-len(data) % ALIGNMENT))
