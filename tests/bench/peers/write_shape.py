"""Writes a GGUF file in the shape of Llama-3.2-1B with random weights: what every engine streams from DRAM.

  write_shape.py TOKENIZER.gguf OUT.gguf [--type F16|Q8_0] [--seed 1] [--layers 16]
The tokenizer's metadata are taken from TOKENIZER.gguf and its vocabulary is filled up with unused tokens to 128,256, so
that readers which insist on a tokenizer accept the file. The head is tied, as in the model whose shape this is. Needs
numpy (the peers' Python environment). 2.5 GB at F16; the same bytes for the same seed and numpy version.
"""

import argparse
import sys

import gguf_file

HIDDEN, INTER, LAYERS, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY, CONTEXT = 2048, 8192, 16, 32, 8, 64, 128256, 8192
UNUSED_TOKEN = 5
STANDARD_DEVIATION = 0.02
ROWS_AT_A_TIME = 4096


def metadata(tokenizer, layers, file_type):
    kinds = gguf_file
    pairs = {
        b"general.architecture": (kinds.STRING, b"llama"), b"general.name": (kinds.STRING, b"random 1B shape"),
        b"general.file_type": (kinds.UINT32, file_type), b"general.quantization_version": (kinds.UINT32, 2),
        b"llama.block_count": (kinds.UINT32, layers), b"llama.context_length": (kinds.UINT32, CONTEXT),
        b"llama.embedding_length": (kinds.UINT32, HIDDEN), b"llama.feed_forward_length": (kinds.UINT32, INTER),
        b"llama.attention.head_count": (kinds.UINT32, HEADS), b"llama.attention.head_count_kv": (kinds.UINT32, KV_HEADS),
        b"llama.attention.layer_norm_rms_epsilon": (kinds.FLOAT32, 1e-5),
        b"llama.rope.dimension_count": (kinds.UINT32, HEAD_DIM), b"llama.rope.freq_base": (kinds.FLOAT32, 500000.0),
        b"llama.vocab_size": (kinds.UINT32, VOCABULARY),
    }
    for key, value in tokenizer.metadata.items():
        if key.startswith(b"tokenizer.") and key != b"tokenizer.chat_template":
            pairs[key] = value
    fill = {b"tokenizer.ggml.tokens": lambda i: b"<unused_%d>" % i, b"tokenizer.ggml.token_type": lambda i: UNUSED_TOKEN,
            b"tokenizer.ggml.scores": lambda i: 0.0}
    for key, make in fill.items():
        if key in pairs:
            kind, (element, values) = pairs[key]
            pairs[key] = (kind, (element, values + [make(i) for i in range(len(values), VOCABULARY)]))
    return pairs


def q8_0(rows, numpy):
    """Blocks of 32: an fp16 scale, max|w| / 127, and 32 signed codes."""
    blocks = rows.reshape(-1, 32)
    scale = (numpy.abs(blocks).max(axis=1) / 127).astype(numpy.float16)
    inverse = numpy.where(scale > 0, 1 / numpy.maximum(scale.astype(numpy.float32), 1e-20), 0)
    codes = numpy.clip(numpy.rint(blocks * inverse[:, None]), -127, 127).astype(numpy.int8)
    out = numpy.empty((len(blocks), 34), numpy.uint8)
    out[:, :2], out[:, 2:] = scale.view(numpy.uint8).reshape(-1, 2), codes.view(numpy.uint8)
    return out.tobytes()


def tensors(layers, kind, seed):
    """[(name, shape, type, make)] in the order of llama.cpp's files."""
    import numpy
    generator = numpy.random.Generator(numpy.random.PCG64(seed))

    def matrix(name, n, k):
        def make():
            parts = []
            for begin in range(0, n, ROWS_AT_A_TIME):
                rows = generator.standard_normal((min(ROWS_AT_A_TIME, n - begin), k), dtype=numpy.float32)
                rows *= STANDARD_DEVIATION
                parts.append(q8_0(rows, numpy) if kind == "Q8_0" else rows.astype(numpy.float16).tobytes())
            return b"".join(parts)
        return name, [k, n], gguf_file.NUMBER[kind], make

    def norm(name):
        return name, [HIDDEN], gguf_file.NUMBER["F32"], lambda: numpy.ones(HIDDEN, numpy.float32).tobytes()

    found = [matrix(b"token_embd.weight", VOCABULARY, HIDDEN)]
    for layer in range(layers):
        part = b"blk.%d." % layer
        found += [norm(part + b"attn_norm.weight"), matrix(part + b"attn_q.weight", HEADS * HEAD_DIM, HIDDEN),
                  matrix(part + b"attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN),
                  matrix(part + b"attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN),
                  matrix(part + b"attn_output.weight", HIDDEN, HEADS * HEAD_DIM), norm(part + b"ffn_norm.weight"),
                  matrix(part + b"ffn_gate.weight", INTER, HIDDEN), matrix(part + b"ffn_up.weight", INTER, HIDDEN),
                  matrix(part + b"ffn_down.weight", HIDDEN, INTER)]
    return [*found, norm(b"output_norm.weight")]


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", help="a GGUF file whose tokenizer is used")
    parser.add_argument("out")
    parser.add_argument("--type", choices=["F16", "Q8_0"], default="F16")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, default=LAYERS)
    a = parser.parse_args(argv)
    file_type = {"F16": 1, "Q8_0": 7}[a.type]
    gguf_file.write(a.out, metadata(gguf_file.Reader(a.tokenizer), a.layers, file_type), tensors(a.layers, a.type, a.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
