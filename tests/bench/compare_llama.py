"""Joins the JSON lines of compare_llama.sh into one table of ratios. Usage: compare_llama.py DIR PAIRS OUT.json"""

import json
import pathlib
import statistics
import sys


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def figures(directory, precision, pair):
    """{(what, batch): (bitrate, llama)} in tokens per second."""
    found = {}
    for row in rows(directory / f"bitrate-{precision}-{pair}"):
        found[("decode", row["batch"])] = [row["decode_tokens_per_second"]]
        if row["batch"] == 1:
            found[("prefill", 1)] = [row["prefill_tokens_per_second"]]
    for row in rows(directory / f"llama-{precision}-{pair}"):
        batch = int(row["pl"])
        if ("decode", batch) in found:
            found[("decode", batch)].append(row["speed_tg"])
        if batch == 1:
            found[("prefill", 1)].append(row["speed_pp"])
    return {key: pairs for key, pairs in found.items() if len(pairs) == 2}


def main(directory, pairs, out):
    directory = pathlib.Path(directory)
    peers = {"int4": "Q4_0", "int8": "Q8_0"}
    report = []
    for precision, peer in peers.items():
        series = {}
        for pair in range(int(pairs)):
            for key, values in figures(directory, precision, pair).items():
                series.setdefault(key, []).append(values)
        for (what, batch), values in sorted(series.items()):
            ratios = [ours / theirs for ours, theirs in values]
            median = statistics.median(ratios)
            report.append({
                "precision": precision, "peer": peer, "what": what, "batch": batch,
                "bitrate_tokens_per_second": statistics.median(v[0] for v in values),
                "llama_tokens_per_second": statistics.median(v[1] for v in values),
                "ratio_median": median,
                "ratio_mad": statistics.median(abs(r - median) for r in ratios),
                "pairs": len(values),
            })
    if not report:
        sys.exit("no figures were read")
    print(f'{"":18}{"bitrate tok/s":>14}{"llama.cpp tok/s":>17}{"ratio":>8}{"+-":>7}')
    for row in report:
        name = f'{row["precision"]} {row["what"]} B={row["batch"]}'
        print(f'{name:18}{row["bitrate_tokens_per_second"]:14.1f}{row["llama_tokens_per_second"]:17.1f}'
              f'{row["ratio_median"]:8.2f}{row["ratio_mad"]:7.2f}')
    pathlib.Path(out).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
