"""One load generator for both servers: the same asyncio loop, prompts and clocks, with a gRPC and an HTTP back end.

  load_client.py --grpc HOST:PORT --variant int4 --stubs DIR --streams 8 --requests 64 --prompt 128 --output 64
  load_client.py --http HOST:PORT --rate 2.2 --requests 60 --prompt 384 --output 64
Closed loop with --streams, Poisson arrivals with --rate. Prompts are random ids keyed by the request's number; greedy,
end-of-sequence ignored, no prompt cache. Prints one JSON line: output tokens/s, quantiles of TTFT (send to first token),
ITL (every gap; tokens that share an event share its gap), errors. Needs grpcio for --grpc (build/venv) and nothing for
--http: the client speaks just enough HTTP/1.1 for llama-server's /completion stream, so that it costs either server the
same two cores as little as possible.
"""

import argparse
import asyncio
import json
import random
import sys
import time

from stats import nearest_rank

CONNECT_SECONDS = 30


class Sample:
    """One request: when it was sent, when its tokens came."""

    def __init__(self):
        self.sent = time.monotonic()
        self.first = self.last = None
        self.gaps, self.tokens, self.error = [], 0, None

    def take(self, count):
        now = time.monotonic()
        if count <= 0:
            return
        rest = count
        if self.first is None:
            self.first = self.last = now
            rest -= 1
        if rest > 0:
            self.gaps += [(now - self.last) / rest] * rest
        self.tokens += count
        self.last = now


def prompt_ids(seed, index, count, vocabulary):
    return random.Random(seed * 1_000_003 + index).choices(range(vocabulary), k=count)


class GrpcBackend:
    def __init__(self, arguments):
        sys.path.insert(0, arguments.stubs)
        import grpc
        from bitrate.v1 import inference_service_pb2 as messages
        from bitrate.v1 import inference_service_pb2_grpc as services
        self.messages, self.arguments, self.RpcError = messages, arguments, grpc.RpcError
        self.stub = services.InferenceServiceStub(grpc.aio.insecure_channel(arguments.grpc))

    async def send(self, index):
        a, request = self.arguments, self.messages.GenerateStreamRequest()
        request.model.model, request.model.variant = a.model, a.variant
        request.token_ids.ids.extend(prompt_ids(a.seed, index, a.prompt, a.vocabulary))
        request.sampling.temperature = 0
        request.stop.max_tokens, request.stop.ignore_eos = a.output, True
        request.use_prefix_cache = False
        sample = Sample()
        try:
            async for event in self.stub.GenerateStream(request):
                if event.HasField("delta"):
                    sample.take(len(event.delta.token_ids))
        except self.RpcError as error:
            sample.error = f"{error.code().name}: {error.details()}"
        return sample


class HttpBackend:
    def __init__(self, arguments):
        self.arguments = arguments
        self.host, port = arguments.http.rsplit(":", 1)
        self.port = int(port)

    async def send(self, index):
        a = self.arguments
        body = json.dumps({
            "prompt": prompt_ids(a.seed, index, a.prompt, a.vocabulary), "n_predict": a.output, "ignore_eos": True,
            "temperature": 0, "stream": True, "cache_prompt": False, "return_tokens": True}).encode()
        head = (f"POST /completion HTTP/1.1\r\nHost: {a.http}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode()
        sample = Sample()
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(self.host, self.port), CONNECT_SECONDS)
            writer.write(head + body)
            status = await reader.readline()
            if b" 200 " not in status:
                sample.error = status.decode(errors="replace").strip() or "connection closed"
            else:
                await self._events(reader, sample)
            writer.close()
        except (OSError, asyncio.TimeoutError) as error:
            sample.error = f"{type(error).__name__}: {error}"
        return sample

    @staticmethod
    async def _events(reader, sample):
        while line := await reader.readline():
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                if event.get("stop"):  # the last event repeats nothing; what it counts more came without text
                    sample.take(event.get("tokens_predicted", sample.tokens) - sample.tokens)
                else:
                    sample.take(len(event.get("tokens", ())))
            elif line.startswith(b"error: "):
                sample.error = line.decode(errors="replace").strip()


async def closed_loop(backend, streams, requests):
    numbers, samples = iter(range(requests)), []

    async def stream():
        for index in numbers:
            samples.append(await backend.send(index))

    await asyncio.gather(*(stream() for _ in range(streams)))
    return samples


async def open_loop(backend, rate, requests, seed):
    arrivals, at, began, tasks = random.Random(seed), 0.0, time.monotonic(), []
    for index in range(requests):
        at += arrivals.expovariate(rate)
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        tasks.append(asyncio.create_task(backend.send(index)))
    return list(await asyncio.gather(*tasks))


def quantiles(values):
    return {name: nearest_rank(values, q) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))}


def report(samples, wall, output):
    good = [s for s in samples if s.error is None and s.tokens == output]
    errors = {}
    for sample in samples:
        if sample not in good:
            text = sample.error or f"{sample.tokens} of {output} tokens"
            errors[text] = errors.get(text, 0) + 1
    return {
        "requests": len(samples), "ok": len(good), "wall_seconds": wall,
        "output_tokens_per_second": sum(s.tokens for s in good) / wall,
        "ttft_seconds": quantiles([s.first - s.sent for s in good]),
        "itl_seconds": quantiles([gap for s in good for gap in s.gaps]),
        "tpot_seconds": quantiles([(s.last - s.first) / (s.tokens - 1) for s in good if s.tokens > 1]),
        "by_error": errors,
    }


async def run(arguments):
    backend = GrpcBackend(arguments) if arguments.grpc else HttpBackend(arguments)
    began = time.monotonic()
    if arguments.rate > 0:
        samples = await open_loop(backend, arguments.rate, arguments.requests, arguments.seed)
    else:
        samples = await closed_loop(backend, arguments.streams, arguments.requests)
    return report(samples, time.monotonic() - began, arguments.output)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--grpc", metavar="HOST:PORT", help="a bitrate server")
    target.add_argument("--http", metavar="HOST:PORT", help="a llama-server")
    parser.add_argument("--stubs", default="", help="folder of the Python stubs made from proto/ (--grpc)")
    parser.add_argument("--model", default="", help="model name (--grpc)")
    parser.add_argument("--variant", default="", help="variant (--grpc)")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.0, help="arrivals per second, instead of --streams")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--output", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


if __name__ == "__main__":
    result = asyncio.run(run(parse(sys.argv[1:])))
    print(json.dumps(result))
    sys.exit(0 if result["ok"] == result["requests"] else 1)
