#!/usr/bin/env python3
"""Makes gguf_arch/NAME.gguf from the Hugging Face folders of arch/NAME, by the conventions of llama.cpp's converter.

    python3 gguf_from_folders.py        (needs gguf==0.19.0 and numpy)

The weights are those of the folders, so the folders' logits are what these files must give. What the converter does:
names by gguf's own tensor map; norms and routers in float32, other weights in the type they are stored in; the experts
of a layer stacked; rows of q and k interleaved for the architectures of its LlamaModel (llama, granite); Gemma's norms
stored as 1 + w. Gemma 2 files have no key for query_pre_attn_scalar (readers take the size of a head), so where a
folder's differs, the ratio goes into q and that tensor is float32.
"""
import json
import math
import pathlib
import re

import gguf
import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parent.parent
ARCHITECTURES = {
    "mixtral": gguf.MODEL_ARCH.LLAMA,
    "qwen3_moe": gguf.MODEL_ARCH.QWEN3MOE,
    "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "phi3": gguf.MODEL_ARCH.PHI3,
    "phi3_longrope": gguf.MODEL_ARCH.PHI3,
    "olmo2": gguf.MODEL_ARCH.OLMO2,
    "granite": gguf.MODEL_ARCH.GRANITE,
}
PERMUTED = (gguf.MODEL_ARCH.LLAMA, gguf.MODEL_ARCH.GRANITE)
TYPES = {"F32": (np.float32, gguf.GGMLQuantizationType.F32), "F16": (np.float16, gguf.GGMLQuantizationType.F16),
         "BF16": (np.uint16, gguf.GGMLQuantizationType.BF16)}


def read_safetensors(path):
    """name -> (array as stored, bf16 as its bits; ggml type)"""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    out = {}
    for name, info in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        dtype, kind = TYPES[info["dtype"]]
        begin, end = info["data_offsets"]
        out[name] = (np.frombuffer(data[8 + size + begin:8 + size + end], dtype).reshape(info["shape"]), kind)
    return out


def to_float32(array, kind):
    if kind == gguf.GGMLQuantizationType.BF16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def interleave(rows, heads):
    """The halves of each head's rows, for a rope over neighbouring pairs."""
    shape = rows.shape
    return rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def stack_experts(tensors):
    """Experts' matrices to one array a layer, under a name that gguf's map knows."""
    out, stacks = {}, {}
    for name, value in tensors.items():
        match = re.fullmatch(r"(model\.layers\.\d+\.\w+\.experts\.)(\d+)\.(\w+)\.weight", name)
        if match:
            stacks.setdefault(match[1] + match[3] + ".weight", {})[int(match[2])] = value
        else:
            out[name] = value
    for name, experts in stacks.items():
        out[name] = (np.stack([experts[i][0] for i in range(len(experts))]), experts[0][1])
    return out


def add_parameters(writer, config, arch):
    rope = config.get("rope_parameters") or config
    head_dim = config["head_dim"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    if arch in (gguf.MODEL_ARCH.GEMMA2, gguf.MODEL_ARCH.QWEN3MOE):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    else:
        writer.add_rope_dimension_count(head_dim)
    experts = config.get("num_local_experts")
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if arch == gguf.MODEL_ARCH.QWEN3MOE:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if arch == gguf.MODEL_ARCH.GEMMA2:
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
        writer.add_sliding_window(config["sliding_window"])
    if arch == gguf.MODEL_ARCH.GRANITE:
        writer.add_attention_scale(config["attention_multiplier"])
        writer.add_embedding_scale(config["embedding_multiplier"])
        writer.add_residual_scale(config["residual_multiplier"])
        writer.add_logit_scale(config["logits_scaling"])
    if arch == gguf.MODEL_ARCH.PHI3:
        original = config["original_max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_sliding_window(config["sliding_window"] or 0)
        if "long_factor" in rope:
            scale = config["max_position_embeddings"] / original
            writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
            for kind, key in ((gguf.MODEL_TENSOR.ROPE_FACTORS_LONG, "long_factor"),
                              (gguf.MODEL_TENSOR.ROPE_FACTORS_SHORT, "short_factor")):
                writer.add_tensor(gguf.TENSOR_NAMES[kind] + ".weight", np.array(rope[key], np.float32))


def convert(name, arch):
    folder = GOLDEN / "arch" / name / "model"
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(GOLDEN / "gguf_arch" / (name + ".gguf"), gguf.MODEL_ARCH_NAMES[arch])
    add_parameters(writer, config, arch)
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    for source, (array, kind) in stack_experts(read_safetensors(folder / "model.safetensors")).items():
        target = names.get_name(source, try_suffixes=(".weight", ".bias"))
        assert target, source
        if arch == gguf.MODEL_ARCH.GEMMA2 and source.endswith("norm.weight"):
            array, kind = to_float32(array, kind) + np.float32(1), gguf.GGMLQuantizationType.F32
        ratio = config["head_dim"] / config.get("query_pre_attn_scalar", config["head_dim"])
        if ".q_proj." in source and ratio != 1:
            ratio = np.float32(math.sqrt(ratio))
            array, kind = to_float32(array, kind) * ratio, gguf.GGMLQuantizationType.F32
        if arch in PERMUTED and re.search(r"\.[qk]_proj\.", source):
            array = interleave(array, heads if ".q_proj." in source else kv_heads)
        if array.ndim == 1 or target.endswith("ffn_gate_inp.weight"):
            array, kind = to_float32(array, kind), gguf.GGMLQuantizationType.F32
        array = np.ascontiguousarray(array)
        if kind == gguf.GGMLQuantizationType.BF16:
            writer.add_tensor(target, array.view(np.uint8), raw_dtype=kind)
        else:
            writer.add_tensor(target, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    (GOLDEN / "gguf_arch").mkdir(exist_ok=True)
    for case, architecture in ARCHITECTURES.items():
        convert(case, architecture)
