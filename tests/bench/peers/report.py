"""Tables, JSON lines and the plot of a comparison. Rows are plain dicts; table() and ratio_rows() are pure."""

import json
import statistics

import samples
import sides
import stats


def ratio_rows(runs, precisions, programs):
    """One row for each couple of PAIRING and figure that both sides have."""
    rows = []
    for precision in precisions:
        ours = f"bitrate {precision}"
        for peer in sides.PAIRING[precision]:
            if peer.split()[0] not in programs:
                continue
            keys = sorted({key for (side, _), figures in runs.items() if side in (ours, peer) for key in figures})
            for key in keys:
                found = stats.ratios(runs, ours, peer, key)
                if found:
                    rows.append({
                        "kind": "ratio", "precision": precision, "peer": peer, "what": key[0], "size": key[1],
                        "bitrate_tokens_per_second": stats.median(stats.of_side(runs, ours, key)),
                        "peer_tokens_per_second": stats.median(stats.of_side(runs, peer, key)),
                        "ratio_median": stats.median(found), "ratio_mad": stats.mad(found), "pairs": len(found),
                    })
    return rows


def share_of_read(info, tokens_per_second, batch, read_gb_per_second):
    """Weight bytes read a second over what the machine reads; above 1 where a cache keeps part of the weights."""
    return info["bytes_per_token"] * tokens_per_second / batch / (read_gb_per_second * 1e9)


def share_of_peak(body_weights, tokens_per_second, gop_per_second):
    """Linear operations of a prefill over the machine's peak, attention's time included."""
    return 2 * body_weights * tokens_per_second / (gop_per_second * 1e9)


def peak_of(side, rates):
    """The peak in GOP/s that bounds a side's prefill: the instruction that its format can use."""
    kind = side.split()[1].lower()
    if "16" not in kind and "32" not in kind:
        return rates["int8_gop_per_second"]
    return rates["bf16_gop_per_second" if kind == "bf16" else "float_gop_per_second"]


def median_rates(rows):
    """Medians of the machine_rates rows of a run."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0] if key.endswith("per_second")}


def side_rows(runs, infos, rates, quality, body_weights):
    """One row a side: bits, bytes, quality, and its figures as shares of what the machine can do."""
    rows = []
    for side, info in infos.items():
        figures = {key for (name, _), found in runs.items() if name == side for key in found}
        speeds = {key: stats.median(stats.of_side(runs, side, key)) for key in figures}
        row = {"kind": "side", "side": side, **info, **quality.get(side, {})}
        if ("decode", 1) in speeds:
            row["share_of_read"] = share_of_read(info, speeds[("decode", 1)], 1, rates["read_gb_per_second"])
        for what, size in sorted(figures):
            if what == "prefill":
                row[f"prefill_{size}_share_of_peak"] = share_of_peak(body_weights, speeds[(what, size)],
                                                                     peak_of(side, rates))
        rows.append(row)
    return rows


def table(header, lines):
    """Markdown: the first column to the left, numbers to the right."""
    cells = [[str(cell) for cell in line] for line in [header, *lines]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    def render(line):
        return "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))) + " |"
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([render(cells[0]), rule, *map(render, cells[1:])])


def ratio_table(rows):
    header = ["Bitrate against", "figure", "Bitrate tok/s", "peer tok/s", "ratio", "±", "pairs"]
    return table(header, [[f"{r['precision']} : {r['peer']}", samples.figure_name((r["what"], r["size"])),
                           f"{r['bitrate_tokens_per_second']:.1f}", f"{r['peer_tokens_per_second']:.1f}",
                           f"{r['ratio_median']:.2f}", f"{r['ratio_mad']:.2f}", r["pairs"]] for r in rows])


def side_table(rows):
    def show(row, key, form):
        return form.format(row[key]) if row.get(key) is not None else "–"

    header = ["side", "bits a weight", "MB a token", "head", "KV", "B=1 of read", "of packed read", "512 of peak",
              "2048 of peak", "KLD", "same top-1"]
    return table(header, [[
        r["side"], f"{r['bits']:.2f}", f"{r['bytes_per_token'] / 1e6:.1f}", r["head"], r["kv"],
        show(r, "share_of_read", "{:.0%}"), show(r, "share_of_packed_read", "{:.0%}"),
        show(r, "prefill_512_share_of_peak", "{:.0%}"), show(r, "prefill_2048_share_of_peak", "{:.0%}"),
        show(r, "mean_kld", "{:.4f}"), show(r, "same_top1", "{:.1%}")] for r in rows])


_SERVER_FIGURES = [("output tok/s", lambda r: r["output_tokens_per_second"], True),
                   ("TTFT p50 ms", lambda r: 1e3 * r["ttft_seconds"]["p50"], False),
                   ("ITL p99 ms", lambda r: 1e3 * r["itl_seconds"]["p99"], False)]


def server_rows(runs):
    """Of server_run rows: medians over the pairs and the median ratio, oriented so that more than 1 is better."""
    found = {}
    for row in runs:
        found.setdefault((row["precision"], row["load"]), {})[(row["side"], row["pair"])] = row["result"]
    rows = []
    for (precision, load), results in found.items():
        peers = {side for side, _ in results if not side.startswith("bitrate ")}
        for name, figure, more_is_better in _SERVER_FIGURES:
            values = {key: {name: figure(result)} for key, result in results.items()}
            ours = f"bitrate {precision}"
            row = {"kind": "server", "precision": precision, "load": load, "figure": name, "peer": None,
                   "bitrate": stats.median(stats.of_side(values, ours, name) or [0.0])}
            for peer in peers:
                ratio = stats.ratios(values, ours, peer, name)
                ratio = ratio if more_is_better else [1 / r for r in ratio]
                if ratio:
                    row.update(peer=peer, peer_value=stats.median(stats.of_side(values, peer, name)),
                               ratio_median=stats.median(ratio), ratio_mad=stats.mad(ratio), pairs=len(ratio))
            rows.append(row)
    return rows


def server_table(rows):
    header = ["load", "figure", "Bitrate", "peer", "better by", "±", "pairs"]
    return table(header, [[
        f"{r['precision']} : {r['peer'] or '–'}, {r['load']}", r["figure"], f"{r['bitrate']:.1f}",
        f"{r['peer_value']:.1f}" if r["peer"] else "–", f"{r['ratio_median']:.2f}" if r["peer"] else "–",
        f"{r['ratio_mad']:.2f}" if r["peer"] else "–", r.get("pairs", "–")] for r in rows])


def plot(rows, path, title):
    """Bars of the ratios, one a couple and figure. False where matplotlib is not there."""
    try:
        import matplotlib
        matplotlib.use("svg" if str(path).endswith(".svg") else "agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    labels = [f"{r['precision']} : {r['peer']}  {samples.figure_name((r['what'], r['size']))}" for r in rows]
    colours = {"llama": "tab:blue", "openvino": "tab:orange"}
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.22 * len(rows)))
    axes.barh(range(len(rows)), [r["ratio_median"] for r in rows], xerr=[r["ratio_mad"] for r in rows],
              color=[colours[r["peer"].split()[0]] for r in rows])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("tokens/s of Bitrate over the peer's: median over pairs, bar = median absolute deviation")
    axes.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return True


class JsonLines:
    """Appends rows to a file as they come, so that an interrupted run keeps what it measured."""

    def __init__(self, path):
        self.file = open(path, "w")

    def __call__(self, row):
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
