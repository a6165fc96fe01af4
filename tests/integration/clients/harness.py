"""Starts the real binary on free loopback ports and gives stock grpcio stubs made from our protos."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_stubs(source, out):
    """protoc of grpcio-tools on our own .proto files: what a user of another language does."""
    proto = pathlib.Path(source) / "proto"
    files = [str(p) for folder in ("bitrate/v1", "google/rpc", "grpc/reflection/v1") for p in (proto / folder).glob("*.proto")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{proto}", f"--python_out={out}",
                    f"--grpc_python_out={out}", *files], check=True)
    # google and grpc.reflection (an alias of grpc_reflection) are installed packages too; ours extend their paths.
    sys.path.insert(0, out)
    import google
    import grpc_reflection
    google.__path__ = list(google.__path__) + [f"{out}/google"]
    grpc_reflection.__path__ = list(grpc_reflection.__path__) + [f"{out}/grpc/reflection"]


class Server:
    def __init__(self, binary, model, variants, extra_yaml=""):
        self.grpc, self.admin, self.http = free_port(), free_port(), free_port()
        self.dir = tempfile.TemporaryDirectory()
        self.log_path = pathlib.Path(self.dir.name) / "server.log"
        config = pathlib.Path(self.dir.name) / "config.yaml"
        lines = "\n".join(f"      - {{precision: {v}, max_sequences: 16, kv_bytes: 256MiB}}" for v in variants)
        config.write_text(f"""listen:
  grpc: 127.0.0.1:{self.grpc}
  admin: 127.0.0.1:{self.admin}
  metrics: 127.0.0.1:{self.http}
models:
  - name: smollm2
    path: {model}
    variants:
{lines}
prices: {{currency: USD, core_hour: 0.05, gib_hour: 0.005, pricing_version: test}}
log: {{format: json}}
{extra_yaml}""")
        self.log = open(self.log_path, "w")
        self.process = subprocess.Popen([binary, "serve", "--config", str(config)], stdout=self.log, stderr=self.log)

    def wait_ready(self, seconds=120):
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc
        deadline = time.monotonic() + seconds
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise RuntimeError(f"server ended with {self.process.returncode}:\n{self.log_path.read_text()}")
                try:
                    reply = stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=2)
                    if reply.status == health_pb2.HealthCheckResponse.SERVING and self.loading() == 0:
                        return
                except grpc.RpcError:
                    pass
                time.sleep(0.1)
        raise RuntimeError(f"not ready in {seconds} s:\n{self.log_path.read_text()}")

    def loading(self):
        text = self.metrics()
        return sum(float(v) for v in re.findall(r'bitrate_variant_state\{[^}]*state="loading"[^}]*\} (\S+)', text))

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as reply:
            return reply.read().decode()

    def request_lines(self):
        """The request log: JSON objects of event "request"."""
        rows = []
        for line in self.log_path.read_text().splitlines():
            if line.startswith("{"):
                row = json.loads(line)
                if row.get("event") == "request":
                    rows.append(row)
        return rows

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def stop(self, seconds=60):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.log.close()
        return code


def counter(text, name, **labels):
    """Sum over the series of `name` whose labels include `labels`."""
    total = 0.0
    for line in text.splitlines():
        match = re.match(rf"{name}(?:\{{(.*)\}})? (\S+)$", line)
        if match and all(f'{k}="{v}"' in (match.group(1) or "") for k, v in labels.items()):
            total += float(match.group(2))
    return total
