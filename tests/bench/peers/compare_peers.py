"""Bitrate against llama.cpp and OpenVINO GenAI on this machine, interleaved. Started by compare_peers.sh, which
installs what it needs; --help lists the options."""

import argparse
import os
import pathlib
import shutil
import signal
import sys
import time

import gguf_file
import machine
import quality
import report
import servers
import sides

BUSY_LOAD = 0.5  # load average before a run above which the machine is called busy


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="compare_peers.sh", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Ratios of tokens/s, Bitrate over its peers, on the same cores with the same threads.",
        epilog="Sides run A B B A ... on the same cores; a ratio is taken inside a pair. Everything is built and made\n"
               "under build/. examples:\n"
               "  tests/bench/compare_peers.sh                       the whole comparison, about an hour on 2 cores\n"
               "  tests/bench/compare_peers.sh --quick               at most 12 minutes on an idle machine\n"
               "  tests/bench/compare_peers.sh --precisions int4,int8 --programs llama --level engine --pairs 9\n"
               "  tests/bench/compare_peers.sh --shape               a Llama-3.2-1B shape of random weights")
    parser.add_argument("--level", choices=["both", "engine", "server"], default="both")
    parser.add_argument("--precisions", help="default: all of " + ",".join(sides.PAIRING))
    parser.add_argument("--programs", default="llama,openvino", help="peers to run (default: %(default)s)")
    parser.add_argument("--pairs", type=int, help="default: 5; with --quick 2")
    parser.add_argument("--batches", help="decoded together (default: 1,8,16,32)")
    parser.add_argument("--prefill", help="prompt lengths (default: 512,2048)")
    parser.add_argument("--server-precisions", help="default: int4,int8,bf16; with --quick int4")
    parser.add_argument("--server-pairs", type=int, help="default: 3; with --quick 1")
    parser.add_argument("--threads", type=int, default=0, help="of every side; 0 = the CPUs used")
    parser.add_argument("--cpus", help="CPUs to use, e.g. 0,1 (default: all that this process may use)")
    parser.add_argument("--quality-windows", type=int, help="of 512 tokens for KLD; 0 = none (default: 8; --quick 2)")
    parser.add_argument("--quick", action="store_true", help="fewer pairs, figures and requests")
    parser.add_argument("--shape", action="store_true", help="random weights in the shape of Llama-3.2-1B (engine level)")
    parser.add_argument("--realtime", type=int, nargs="?", const=3, default=0, metavar="PRIORITY",
                        help="run all sides ahead of other work, by chrt (default priority 3; needs privilege)")
    parser.add_argument("--strict", action="store_true", help="drop pairs that other work or steal time disturbed")
    parser.add_argument("--json", help="JSON lines (default: build/compare_peers.jsonl)")
    parser.add_argument("--plot", help="SVG or PNG (default: build/compare_peers.svg)")
    arguments = parser.parse_args(argv)
    fill_defaults(parser, arguments)
    return arguments


def fill_defaults(parser, a):
    quick, stem = a.quick, "compare_shape" if a.shape else "compare_peers"
    a.pairs = a.pairs or (2 if quick else 5)
    a.batches = numbers(parser, "--batches", a.batches or ("1,8" if a.shape else "1,8,16" if quick else "1,8,16,32"))
    a.prefill = numbers(parser, "--prefill", a.prefill or ("512" if quick or a.shape else "512,2048"))
    default = "int4,int8,bf16" if quick or a.shape else ",".join(sides.PAIRING)
    a.precisions = names(parser, "--precisions", a.precisions or default, sides.PAIRING)
    a.programs = names(parser, "--programs", a.programs, ["llama", "openvino"])
    a.server_precisions = names(parser, "--server-precisions",
                                a.server_precisions or ("int4" if quick else "int4,int8,bf16"), sides.PAIRING)
    a.server_pairs = a.server_pairs or (1 if quick else 3)
    a.quality_windows = (2 if quick else 8) if a.quality_windows is None else a.quality_windows
    a.json, a.plot = a.json or str(sides.BUILD / f"{stem}.jsonl"), a.plot or str(sides.BUILD / f"{stem}.svg")
    if a.cpus:
        wanted = set(numbers(parser, "--cpus", a.cpus, least=0))
        if not wanted <= os.sched_getaffinity(0):
            parser.error(f"--cpus {a.cpus}: this process may use {sorted(os.sched_getaffinity(0))}")
        a.cpus = wanted
    else:
        a.cpus = os.sched_getaffinity(0)
    a.threads = a.threads or len(a.cpus)
    if a.shape:
        a.level, a.quality_windows = "engine", 0


def numbers(parser, option, text, least=1):
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        parser.error(f"{option} {text}: wanted numbers separated by commas")
    if min(found) < least:
        parser.error(f"{option} {text}: wanted numbers of {least} or more")
    return found


def names(parser, option, text, known):
    found = text.split(",")
    for name in found:
        if name not in known:
            parser.error(f"{option}: {name} is unknown; wanted some of {','.join(known)}")
    return found


def plan_of(a):
    if a.shape:
        return sides.Plan(a.batches, a.prefill, prompt=32, decode=16, repeats=2, packed_read=8)
    if a.quick:
        return sides.Plan(a.batches, a.prefill, prompt=64, decode=32, repeats=2)
    return sides.Plan(a.batches, a.prefill, prompt=128, decode=64, repeats=3)


def open_sides(setup, group, programs, emit):
    """{side: adapter}; a side that cannot be opened is left out with its reason."""
    opened = {}
    for side in sides.sides_of(group, programs, sides.FILES[setup.prefix]):
        try:
            opened[side] = sides.open_side(setup, side)
        except sides.PeerError as error:
            sides.warn(f"{side} is left out: {error}")
            emit({"kind": "left_out", "side": side, "reason": str(error)})
    return opened


class Engine:
    """The engine level: every group's sides, pair after pair."""

    def __init__(self, a, setup, emit):
        self.a, self.setup, self.emit, self.plan = a, setup, emit, plan_of(a)
        self.runs, self.infos, self.rates, self.disturbed = {}, {}, [], 0
        self.packed = {}  # side: shares of its packed read

    def read_rates(self):
        self.rates.append(self.setup.rates())
        self.emit(self.rates[-1])

    def run(self):
        groups = [[p for p in group if p in self.a.precisions] for group in sides.GROUPS]
        for group in filter(None, groups):
            opened = open_sides(self.setup, group, self.a.programs, self.emit)
            try:
                self.read_rates()
                for pair in range(self.a.pairs):
                    self.run_pair(group, opened, pair)
                    self.read_rates()
            finally:
                for side in opened.values():
                    side.close()

    def run_pair(self, group, opened, pair):
        say(f"{', '.join(group)}: pair {pair + 1} of {self.a.pairs}")
        for side in report.stats.order(list(opened), pair):
            try:
                figures, load = sides.measure(self.setup, opened[side], self.plan)
            except sides.PeerError as error:
                sides.warn(f"{side}, pair {pair + 1}: {error}")
                self.emit({"kind": "failed", "side": side, "pair": pair, "reason": str(error)})
                continue
            self.emit({"kind": "run", "side": side, "pair": pair, "machine_load": load,
                       "figures": [[what, size, value] for (what, size), value in figures.items()]})
            self.disturbed += load["disturbed"]
            if not (self.a.strict and load["disturbed"]):
                self.runs[(side, pair)] = figures
            self.infos[side] = opened[side].info()
            if "packed_read" in opened[side].others:
                self.emit({**opened[side].others["packed_read"], "pair": pair})
                self.packed.setdefault(side, []).append(opened[side].others["packed_read"]["share_median"])

    def finish(self, quality_of):
        for side, shares in self.packed.items():
            self.infos[side]["share_of_packed_read"] = report.stats.median(shares)
        ratios = report.ratio_rows(self.runs, self.a.precisions, self.a.programs)
        size = gguf_file.sizes(gguf_file.Reader(self.setup.bitrate_file(self.a.precisions[0])).tensors)
        rates = report.median_rates(self.rates)
        rows = report.side_rows(self.runs, self.infos, rates, quality_of, size["body_weights"])
        for row in [*ratios, *rows]:
            self.emit(row)
        print(f"\nread {rates['read_gb_per_second']:.1f} GB/s, peaks: int8 {rates['int8_gop_per_second']:.0f}, "
              f"bf16 {rates['bf16_gop_per_second']:.0f}, f32 {rates['float_gop_per_second']:.0f} GOP/s "
              f"({self.a.threads} threads, medians of {len(self.rates)} measurements during the run)")
        print(f"{self.disturbed} of {len(self.runs)} runs were disturbed by other work or steal time\n")
        print(report.ratio_table(ratios), "\n")
        print(report.side_table(rows))
        if ratios and not report.plot(ratios, self.a.plot, machine.describe(self.a.cpus)["cpu"]):
            sides.warn("no plot: matplotlib is not installed")
        return bool(ratios)


def measure_quality(a, setup, emit):
    if a.quality_windows == 0:
        return {}
    say(f"quality: {a.quality_windows} windows of {quality.WINDOW} tokens")
    found = {f"bitrate {p}": row for p, row in quality.ours(setup, a.precisions, a.quality_windows).items()}
    if "llama" in a.programs:
        kinds = sorted({s.split()[1] for p in a.precisions for s in sides.PAIRING[p] if s.startswith("llama ")})
        found.update({f"llama {k}": row for k, row in quality.llama(setup, kinds, a.quality_windows).items()})
    for side, row in found.items():
        emit({"kind": "quality", "side": side, "windows": a.quality_windows, **row})
    return found


def run_servers(a, setup, emit):
    rows = []

    def on_row(row):
        emit(row)
        if row["kind"] == "client_check":
            mine, other = (row[k]["output_tokens_per_second"] for k in ("python_client", "bitrate_bench"))
            print(f"load client {mine:.1f} tok/s, bitrate bench {other:.1f} ({mine / other - 1:+.1%})")
        else:
            rows.append(row)

    say(f"servers: {', '.join(a.server_precisions)}, {a.server_pairs} pairs")
    servers.run(setup, a.server_precisions, servers.loads(a.quick), a.server_pairs, a.programs, on_row)
    summary = report.server_rows(rows)
    for row in summary:
        emit(row)
    disturbed = sum(row["machine_load"]["disturbed"] for row in rows)
    print(f"\n{disturbed} of {len(rows)} runs were disturbed by other work or steal time\n")
    print(report.server_table(summary))


def say(text):
    print(f"== {time.strftime('%H:%M:%S')} {text} (load {os.getloadavg()[0]:.2f})", flush=True)


def check(a, setup):
    for tool in ("engine_bench", "bitrate"):
        if not (sides.BIN / tool).exists():
            raise sides.PeerError(f"{sides.BIN / tool} is not there: run tests/bench/compare_peers.sh, which builds it")
    if a.realtime and shutil.which("chrt") is None:
        raise sides.PeerError("--realtime needs chrt (util-linux)")
    if a.realtime:
        setup.run(["true"])  # says so now if it is not permitted
    if os.getloadavg()[0] > BUSY_LOAD:
        sides.warn(f"the machine is busy: load average {os.getloadavg()[0]:.2f}; ratios will spread")


def main(argv):
    a = parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: servers and workers are ended
    os.sched_setaffinity(0, a.cpus)
    prefix = "llama1b" if a.shape else "smollm2"
    setup = sides.Setup(a.threads, a.cpus, a.realtime, prefix=prefix)
    pathlib.Path(a.json).resolve().parent.mkdir(parents=True, exist_ok=True)
    try:
        check(a, setup)
        emit = report.JsonLines(a.json)
        about = machine.describe(a.cpus)
        emit({"kind": "machine", **about, "threads": a.threads, "load_average": os.getloadavg()[0],
              "time": time.strftime("%Y-%m-%dT%H:%M:%S"), "arguments": argv, "model": setup.prefix})
        say(f"{about['cpu']}, {len(a.cpus)} CPUs, {' '.join(about['isa'])}")
        complete = True
        if a.level != "server":
            engine = Engine(a, setup, emit)
            engine.run()
            complete = engine.finish(measure_quality(a, setup, emit))
        if a.level != "engine":
            run_servers(a, setup, emit)
    except (sides.PeerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped; what was measured is in {a.json}", file=sys.stderr)
        return 130
    print(f"\nJSON lines: {a.json}" + (f"   plot: {a.plot}" if a.level != "server" else ""))
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
