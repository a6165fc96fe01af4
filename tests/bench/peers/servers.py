"""The server level: `bitrate serve` against llama-server, one load client for both, on the same cores."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import machine
import sides

READY_SECONDS = 180
PEER_FILES = {"int4": "Q4_0", "int8": "Q8_0", "bf16": "BF16", "fp16": "F16", "fp32": "F32", "int4-g64-sym": "Q4_0",
              "int4-g64-asym": "Q4_0"}


class Load:
    """One scenario. Closed loop with streams, Poisson arrivals with rate."""

    def __init__(self, name, prompt, output, requests, streams=0, rate=0.0):
        self.name, self.prompt, self.output, self.requests = name, prompt, output, requests
        self.streams, self.rate = streams, rate

    def arguments(self):
        how = ["--rate", self.rate] if self.rate else ["--streams", self.streams]
        return [*how, "--requests", self.requests, "--prompt", self.prompt, "--output", self.output]


def loads(quick):
    """Rounds of requests enough for a p99 of gaps; open loop about half a minute each."""
    rounds = 3 if quick else 5
    return [Load("8 streams", 128, 64, 8 * rounds, streams=8), Load("32 streams", 128, 64, 32 * (rounds - 1), streams=32),
            Load("1/s", 384, 64, 20 if quick else 40, rate=1.0), Load("2.2/s", 384, 64, 44 if quick else 88, rate=2.2)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class _Server:
    """A started server. stop() ends it; the log stays in build/peers."""

    def __init__(self, setup, name, argv, env=None):
        self.name = name
        self.log_path = sides.PEERS / f"server-{name}.log"
        self.log = open(self.log_path, "w")
        try:
            self.process = subprocess.Popen(setup.command(argv), stdout=self.log, stderr=self.log, env=env)
        except FileNotFoundError as error:
            self.log.close()
            raise sides.PeerError(f"{name}: {error.filename} is not there") from None
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = "\n  ".join(self.log_path.read_text().strip().splitlines()[-3:])
                self.stop()
                raise sides.PeerError(f"{name} did not become ready; {self.log_path} ends with:\n  {tail}")
            time.sleep(0.1)

    def get(self, port, path):
        """The body, or "" where the server does not answer 200 yet."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.read().decode(errors="replace") if reply.status == 200 else ""
        return ""

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class BitrateServer(_Server):
    def __init__(self, setup, precision, streams, tokens):
        self.precision, self.grpc, self.http = precision, free_port(), free_port()
        self.folder = tempfile.TemporaryDirectory()
        config = pathlib.Path(self.folder.name) / "config.yaml"
        config.write_text(f"""listen: {{grpc: "127.0.0.1:{self.grpc}", metrics: "127.0.0.1:{self.http}"}}
pool: {{threads: {setup.threads}}}
models:
  - name: model
    path: {setup.bitrate_file(precision)}
    variants:
      - {{precision: {precision}, max_sequences: {streams}, max_queue: 1024, prefix_cache: false,
          max_context: {tokens}, kv_bytes: 1GiB}}
""")
        super().__init__(setup, f"bitrate-{precision}", [sides.BIN / "bitrate", "serve", "--config", config])

    def ready(self):
        text = self.get(self.http, "/metrics")
        return re.search(r'bitrate_variant_state\{[^}]*state="ready"[^}]*\} 1', text) is not None

    def client_arguments(self, stubs):
        return ["--grpc", f"127.0.0.1:{self.grpc}", "--variant", self.precision, "--stubs", stubs]


class LlamaServer(_Server):
    def __init__(self, setup, kind, streams, tokens):
        self.port = free_port()
        env = setup.llama_env()
        super().__init__(setup, f"llama-{kind}", [
            setup.llama_dir / "llama-server", "-m", setup.file(kind), "--host", "127.0.0.1", "--port", self.port, "-np",
            streams, "-c", streams * tokens, "-t", setup.threads, "-tb", setup.threads, "-b", 2048, "-ub", 512, "-fa",
            "on", "--no-cache-prompt", "--cache-ram", 0, "--no-slots", "--log-disable"], env)

    def ready(self):
        return '"ok"' in self.get(self.port, "/health")

    def client_arguments(self, stubs):
        del stubs
        return ["--http", f"127.0.0.1:{self.port}"]


def make_stubs(folder):
    """Python stubs of our protos by the test environment's grpcio-tools; the interpreter that has it."""
    python = sides.BUILD / "venv" / "bin" / "python"
    proto = sides.ROOT / "proto"
    files = [str(p) for part in ("bitrate/v1", "google/rpc") for p in (proto / part).glob("*.proto")]
    command = [python, "-m", "grpc_tools.protoc", f"-I{proto}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    try:
        done = subprocess.run(list(map(str, command)) + files, capture_output=True, text=True)
    except FileNotFoundError:
        raise sides.PeerError(f"{python} is not there: ./test.sh makes it") from None
    if done.returncode != 0:
        raise sides.PeerError(f"protoc of grpcio-tools failed: {done.stderr.strip()}")
    return python


def run_load(setup, server, load, python, stubs, seed):
    client = pathlib.Path(__file__).with_name("load_client.py")
    argv = [python, client, *server.client_arguments(stubs), *load.arguments(), "--seed", seed]
    done = subprocess.run(setup.command(argv), capture_output=True, text=True, timeout=1800)
    if not done.stdout.startswith("{"):
        raise sides.PeerError(f"load client on {server.name}: {(done.stderr or 'no output').strip().splitlines()[-1]}")
    result = json.loads(done.stdout)
    if result["ok"] != result["requests"]:
        raise sides.PeerError(f"{server.name}, {load.name}: {result['requests'] - result['ok']} of "
                              f"{result['requests']} requests failed: {result['by_error']}")
    return result


def cross_check(setup, server, load, seed):
    """The same closed loop by `bitrate bench`: how far the Python client is from the C++ one."""
    argv = [sides.BIN / "bitrate", "bench", "--address", f"127.0.0.1:{server.grpc}", "--variant", server.precision,
            "--concurrency", load.streams, "--requests", load.requests, "--prompt-tokens", load.prompt, "--max-tokens",
            load.output, "--seed", seed, "--json"]
    done = subprocess.run(setup.command(argv), capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise sides.PeerError(f"bitrate bench: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run(setup, precisions, scenarios, pairs, programs, on_row):
    """Pairs of all scenarios, interleaved by pair. on_row(row) for each result as it comes."""
    streams = max(32, *(s.streams for s in scenarios))
    tokens = max(s.prompt + s.output for s in scenarios) + 16
    stubs = tempfile.mkdtemp()
    try:
        python = make_stubs(stubs)
        for pair in range(pairs):
            for precision in precisions:
                kinds = [f"bitrate {precision}"]
                if "llama" in programs:
                    kinds.append(f"llama {PEER_FILES[precision]}")
                for side in kinds if pair % 2 == 0 else reversed(kinds):
                    _run_side(setup, side, precision, scenarios, pair, (streams, tokens), (python, stubs), on_row)
    finally:
        shutil.rmtree(stubs)


def _run_side(setup, side, precision, scenarios, pair, shape, client, on_row):
    program, kind = side.split()
    started = (BitrateServer if program == "bitrate" else LlamaServer)(setup, kind, *shape)
    try:
        run_load(setup, started, Load("warm-up", 16, 8, 4, streams=4), *client, seed=999)
        for number, load in enumerate(scenarios):
            seed = 1 + 100 * pair + number
            with machine.Sampler(setup.cpus, [started.process.pid]) as busy:
                result = run_load(setup, started, load, *client, seed=seed)
            on_row({"kind": "server_run", "side": side, "precision": precision, "pair": pair, "load": load.name,
                    "result": result, "machine_load": busy.row()})
            if program == "bitrate" and pair == 0 and load.streams == 8:
                on_row({"kind": "client_check", "side": side, "load": load.name, "python_client": result,
                        "bitrate_bench": cross_check(setup, started, load, seed)})
    finally:
        started.stop()
