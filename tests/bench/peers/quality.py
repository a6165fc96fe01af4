"""Mean KL divergence and same top-1 against fp32, over the second half of windows of 512 tokens of one text.

Ours: `bitrate logits` at every precision against fp32 of the same checkpoint. llama.cpp's files: its own
llama-perplexity against its F32 file, over the same positions of the same text (it keeps 16-bit log-probabilities of
the reference, a floor of about 1e-5).
"""

import json
import pathlib
import struct
import subprocess
import tempfile

import samples
import sides

WINDOW = 512
GOLDEN = sides.ROOT / "tests" / "golden" / "smollm2"


def windows(count):
    ids = json.loads((GOLDEN / "ppl.json").read_text())["ids"]
    whole = [ids[at:at + WINDOW] for at in range(0, len(ids) - WINDOW + 1, WINDOW)]
    return whole[:count]


def _load(path, numpy):
    """`logits` [T, V] of a file that `bitrate logits` wrote; the rows that llama-perplexity scores."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))["logits"]
    rows, width = header["shape"]
    begin = 8 + size + header["data_offsets"][0]
    array = numpy.memmap(path, dtype="<f4", mode="r", offset=begin, shape=(rows, width))
    return array[WINDOW // 2:rows - 1]


def _log_softmax(rows, numpy):
    shifted = rows - rows.max(axis=1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted, dtype=numpy.float64).sum(axis=1, keepdims=True))


def compare(reference, rows, numpy):
    """(sum of KL(reference || rows), rows of equal argmax, rows) in nats; both [T, V] logits."""
    p, q = (_log_softmax(numpy.asarray(x, dtype=numpy.float64), numpy) for x in (reference, rows))
    kld = float((numpy.exp(p) * (p - q)).sum())
    return kld, int((p.argmax(axis=1) == q.argmax(axis=1)).sum()), len(p)


def _write_logits(setup, precision, texts, folder):
    lines = "".join(json.dumps({"ids": ids}) + "\n" for ids in texts)
    command = [sides.BIN / "bitrate", "logits", setup.model, "--precision", precision, "--threads", setup.threads,
               "--out", folder]
    done = subprocess.run(setup.command(command), input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        raise sides.PeerError(f"bitrate logits --precision {precision}: {done.stderr.strip()}")
    return [pathlib.Path(folder) / f"{i:06}.safetensors" for i in range(len(texts))]


def ours(setup, precisions, count):
    """{precision: {"mean_kld", "same_top1"}}"""
    import numpy
    texts, result = windows(count), {}
    with tempfile.TemporaryDirectory(dir=sides.BUILD) as folder:
        reference = _write_logits(setup, "fp32", texts, f"{folder}/fp32")
        for precision in precisions:
            with tempfile.TemporaryDirectory(dir=folder) as out:
                files = reference if precision == "fp32" else _write_logits(setup, precision, texts, out)
                sums = [compare(_load(a, numpy), _load(b, numpy), numpy) for a, b in zip(reference, files)]
            kld, same, rows = (sum(column) for column in zip(*sums))
            result[precision] = {"mean_kld": max(kld / rows, 0.0), "same_top1": same / rows}
    return result


def llama(setup, kinds, count):
    """{file type: {"mean_kld", "same_top1"}}. It does not change from run to run: kept in build/peers."""
    kept_path = sides.PEERS / f"quality-{setup.prefix}-{count}.json"
    kept = json.loads(kept_path.read_text()) if kept_path.exists() else {}
    missing = [kind for kind in kinds if kind not in kept]
    if missing:
        common = ["-f", GOLDEN / "ppl_text.txt", "-c", WINDOW, "--chunks", count, "-t", setup.threads]
        with tempfile.TemporaryDirectory(dir=sides.BUILD) as folder:
            base = pathlib.Path(folder) / "base"
            setup.llama("llama-perplexity", "-m", setup.file("F32"), *common, "--kl-divergence-base", base)
            for kind in missing:
                text = setup.llama("llama-perplexity", "-m", setup.file(kind), *common, "--kl-divergence-base", base,
                                   "--kl-divergence")
                kept[kind] = samples.perplexity_kld(text)
                if kept[kind]["mean_kld"] is None:
                    raise sides.PeerError(f"llama-perplexity printed no KLD for {kind}")
        kept_path.write_text(json.dumps(kept, indent=1) + "\n")
    return {kind: kept[kind] for kind in kinds}
