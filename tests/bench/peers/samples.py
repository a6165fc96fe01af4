"""Parses what the measured programs print. Pure functions from text to figures.

A figure's key is ("decode", batch) or ("prefill", prompt tokens); its value is tokens a second.
"""

import json
import re
import statistics


def json_lines(text):
    """The lines that are JSON objects; programs mix them with log lines."""
    rows = []
    for line in text.splitlines():
        if line.startswith("{"):
            rows.append(json.loads(line))
    return rows


def engine_bench(text):
    """(figures, {kind: row}) of tests/bench/engine_bench run with one precision."""
    figures, others = {}, {}
    for row in json_lines(text):
        if row["kind"] == "decode":
            figures[("decode", row["batch"])] = row["decode_tokens_per_second"]
        elif row["kind"] == "prefill":
            figures[("prefill", row["prompt_tokens"])] = row["prefill_tokens_per_second"]
        else:
            others[row["kind"]] = row
    return figures, others


def batched_bench(text):
    """Figures of llama-batched-bench --output-format jsonl: its decode speeds."""
    return {("decode", int(row["pl"])): float(row["speed_tg"]) for row in json_lines(text) if float(row["speed_tg"]) > 0}


def llama_bench(text):
    """Figures of llama-bench -o jsonl: the median of each prompt length's samples."""
    figures = {}
    for row in json_lines(text):
        if row["n_prompt"] > 0 and row["n_gen"] == 0:
            figures[("prefill", int(row["n_prompt"]))] = statistics.median(row["samples_ts"])
    return figures


def openvino(text):
    """Figures of openvino_worker.py."""
    return {(row["what"], row["size"]): row["tokens_per_second"] for row in json_lines(text) if "what" in row}


def perplexity_kld(text):
    """{"mean_kld", "same_top1", "ppl_ratio"} of llama-perplexity --kl-divergence; None for what is not there."""
    def number(pattern):
        match = re.search(pattern, text)
        return float(match.group(1)) if match else None

    same = number(r"Same top p:\s+([\d.]+)")
    return {
        "mean_kld": number(r"Mean\s+KLD:\s+(-?[\d.]+)"),
        "same_top1": None if same is None else same / 100,
        "ppl_ratio": number(r"Mean PPL\(Q\)/PPL\(base\)\s*:\s+([\d.]+)"),
    }


def figure_name(key):
    what, size = key
    return f"decode B={size}" if what == "decode" else f"prefill {size}"
