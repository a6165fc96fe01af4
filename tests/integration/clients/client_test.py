"""Stock Python clients against the real binary and the real model: generated stubs, health, both reflections, metrics,
and 64 concurrent streams with a third cancelled at random.
Usage: client_test.py BINARY MODEL SOURCE_DIR
"""

import random
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import harness

BINARY, MODEL, SOURCE = sys.argv[1:4]
STUBS = tempfile.TemporaryDirectory()
harness.make_stubs(SOURCE, STUBS.name)

import grpc  # noqa: E402  (the stubs must be on the path first)
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # noqa: E402
    ProtoReflectionDescriptorDatabase,
)
from bitrate.v1 import admin_service_pb2, admin_service_pb2_grpc  # noqa: E402
from bitrate.v1 import inference_service_pb2 as api  # noqa: E402
from bitrate.v1 import inference_service_pb2_grpc, model_service_pb2, model_service_pb2_grpc  # noqa: E402
from bitrate.v1 import types_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from grpc.reflection.v1 import reflection_pb2, reflection_pb2_grpc  # noqa: E402

VARIANTS = ("int8", "int4")


def text_request(kind, prompt, max_tokens, variant=None, **stop):
    request = kind(text=prompt)
    if variant:
        request.model.variant = variant
    request.sampling.temperature = 0
    request.stop.max_tokens = max_tokens
    for name, value in stop.items():
        setattr(request.stop, name, value)
    return request


def error_details(error):
    """The google.rpc details of an RpcError, by type name."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return {any.type_url.rsplit(".", 1)[-1]: any for any in status_pb2.Status.FromString(value).details}
    return {}


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(BINARY, MODEL, VARIANTS)
        cls.server.wait_ready()
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{cls.server.grpc}")
        cls.stub = inference_service_pb2_grpc.InferenceServiceStub(cls.channel)
        cls.admin_channel = grpc.insecure_channel(f"127.0.0.1:{cls.server.admin}")
        cls.admin = admin_service_pb2_grpc.AdminServiceStub(cls.admin_channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.admin_channel.close()
        code = cls.server.stop()
        assert code == 0, f"SIGTERM ended with exit code {code}"

    def test_generate_pinned_says_who_served(self):
        reply = self.stub.Generate(text_request(api.GenerateRequest, "The capital of France is", 8, "int4"), timeout=60)
        self.assertEqual(reply.route.variant, "int4")
        self.assertEqual(reply.route.reason, types_pb2.ROUTE_REASON_PIN)
        self.assertEqual(reply.usage.completion_tokens, len(reply.choices[0].token_ids))
        self.assertIn("Paris", reply.choices[0].text)
        self.assertGreater(reply.cost.device_seconds, 0)
        self.assertEqual(reply.cost.currency_code, "USD")

    def test_stream_concatenates_to_the_unary_answer(self):
        unary = self.stub.Generate(text_request(api.GenerateRequest, "Once upon a time", 24, "int8"), timeout=60)
        kinds, text, ids = [], "", []
        for event in self.stub.GenerateStream(text_request(api.GenerateStreamRequest, "Once upon a time", 24, "int8"),
                                              timeout=60):
            kinds.append(event.WhichOneof("event"))
            if kinds[-1] == "delta":
                text += event.delta.text
                ids += event.delta.token_ids
        self.assertEqual(text, unary.choices[0].text)
        self.assertEqual(ids, list(unary.choices[0].token_ids))
        self.assertEqual(kinds[0], "started")
        self.assertEqual(kinds[-2:], ["finished", "summary"])

    def test_bad_input_names_the_field(self):
        for request, field in (
            (text_request(api.GenerateRequest, "", 4), "text"),
            (text_request(api.GenerateRequest, "x", -1), "stop.max_tokens"),
        ):
            with self.assertRaises(grpc.RpcError) as caught:
                self.stub.Generate(request, timeout=30)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            bad = error_details_pb2.BadRequest()
            self.assertTrue(error_details(caught.exception)["BadRequest"].Unpack(bad))
            self.assertIn(field, bad.field_violations[0].field)
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.Generate(text_request(api.GenerateRequest, "x", 4, "no-such-variant"), timeout=30)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertIn("ResourceInfo", error_details(caught.exception))

    def test_health_check_and_watch(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        for name in ("", "liveness", "bitrate.v1.InferenceService", "bitrate.variant.smollm2.int8"):
            self.assertEqual(health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status, serving, name)
        with self.assertRaises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="bitrate.variant.smollm2.int4"), timeout=20)
        self.assertEqual(next(watch).status, serving)
        watch.cancel()

    def test_reflection_v1alpha_and_v1(self):
        services = ProtoReflectionDescriptorDatabase(self.channel).get_services()
        self.assertIn("bitrate.v1.InferenceService", services)
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        ask = reflection_pb2.ServerReflectionRequest
        replies = list(stub.ServerReflectionInfo(
            iter([ask(list_services="*"), ask(file_containing_symbol="bitrate.v1.GenerateRequest")]), timeout=10))
        names = {s.name for s in replies[0].list_services_response.service}
        self.assertIn("bitrate.v1.InferenceService", names)
        self.assertGreater(len(replies[1].file_descriptor_response.file_descriptor_proto), 0)

    def test_models_and_score_and_tokenize(self):
        models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        variants = models.ListVariants(model_service_pb2.ListVariantsRequest(), timeout=10).variants
        self.assertEqual({v.name for v in variants}, set(VARIANTS))
        ids = self.stub.Tokenize(api.TokenizeRequest(text="The capital of France is"), timeout=10).token_ids
        self.assertEqual(list(ids), [504, 3575, 282, 4649, 314])  # golden smollm2/prompts.json
        request = api.ScoreRequest()
        request.model.variant = "int8"
        request.items.add(context_text="The opposite of hot is", continuation_text=" cold")
        request.items.add(context_text="The opposite of hot is", continuation_text=" blue")
        results = self.stub.Score(request, timeout=60).results
        # golden smollm2/loglikelihood.json has -0.379 and -8.870 in fp32.
        self.assertAlmostEqual(results[0].sum_logprob, -0.379, delta=0.15)
        self.assertTrue(results[0].is_greedy)
        self.assertAlmostEqual(results[1].sum_logprob, -8.870, delta=0.6)

    def test_metrics_pass_prometheus_own_linter(self):
        text = self.server.metrics()
        lint = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        self.assertEqual(lint.returncode, 0, lint.stdout + lint.stderr)
        self.assertEqual(harness.counter(text, "bitrate_build_info"), 1)

    def test_sixty_four_streams_a_third_cancelled(self):
        # The same burst before, so that the baseline has every thread and descriptor that a burst needs: gRPC starts
        # pollers under load and keeps some. A leak grows with each burst.
        self.run_streams(64, "warm")
        self.wait_idle()
        before = self.server.metrics()
        fds, threads = self.server.descriptors(), self.server.threads()
        log_before = len(self.server.request_lines())
        leased_before = self.admin.GetStats(admin_service_pb2.GetStatsRequest(), timeout=10)
        results = self.run_streams(64, "stream")
        stats = self.wait_idle()
        after = self.server.metrics()

        self.assertEqual(len(results), 64)
        completed = [r for r in results if r["code"] == grpc.StatusCode.OK]
        cancelled = [r for r in results if r["code"] == grpc.StatusCode.CANCELLED]
        self.assertEqual(len(completed) + len(cancelled), 64, [r["code"] for r in results])
        self.assertGreater(len(cancelled), 5)
        self.assertTrue(all(r["ends"] == 1 for r in results))

        def delta(name, **labels):
            return harness.counter(after, name, **labels) - harness.counter(before, name, **labels)

        # A cancel that comes after the server's last message leaves the server with "ok" and the client with CANCELLED.
        served = delta("bitrate_requests_total", outcome="ok")
        self.assertGreaterEqual(served, len(completed))
        self.assertEqual(served + delta("bitrate_requests_total", outcome="cancelled"), 64)
        seen_completed = sum(r["tokens"] for r in completed)
        self.assertTrue(all(r["tokens"] == r["usage_tokens"] for r in completed))
        self.assertGreaterEqual(delta("bitrate_generation_tokens_total"), seen_completed + sum(r["tokens"] for r in cancelled))
        lines = self.server.request_lines()[log_before:]
        self.assertEqual(len(lines), 64)
        self.assertEqual(sum(l["completion_tokens"] for l in lines), delta("bitrate_generation_tokens_total"))

        # Costs add up: responses (and the log, which also has the cancelled ones) + wasted = the pool's own clock.
        leased = stats.pool_leased_seconds - leased_before.pool_leased_seconds
        wasted = delta("bitrate_device_seconds_total", work="wasted")
        logged = sum(l["device_s"] for l in lines)
        self.assertAlmostEqual((logged + wasted) / leased, 1, delta=1e-3)
        by_id = {l["request_id"]: l for l in lines}
        for r in completed:
            self.assertEqual(by_id[r["id"]]["outcome"], "ok")
            self.assertAlmostEqual(by_id[r["id"]]["device_s"] / r["device_seconds"], 1, delta=1e-3)

        # Nothing leaks: no sequence, no referenced block, no descriptor, no thread.
        for v in stats.variants:
            self.assertEqual((v.running, v.waiting, v.kv_blocks_used), (0, 0, 0), v.variant)
        self.assertLessEqual(self.server.threads(), threads + 4)
        self.assertLessEqual(self.server.descriptors(), fds + 4)

    def run_streams(self, count, prefix):
        rng = random.Random(7)
        results, lock, workers = [], threading.Lock(), []

        def one(index, cancel_after):
            request = text_request(api.GenerateStreamRequest, f"{prefix} story number {index}: once there was", 32,
                                   VARIANTS[index % 2], ignore_eos=True)
            request.request_id = f"{prefix}-{index}"
            result = {"id": request.request_id, "tokens": 0, "ends": 0, "usage_tokens": None, "device_seconds": None}
            call = self.stub.GenerateStream(request, timeout=240)
            try:
                for event in call:
                    if event.HasField("delta"):
                        result["tokens"] += len(event.delta.token_ids)
                        if cancel_after is not None and result["tokens"] >= cancel_after:
                            call.cancel()
                    elif event.HasField("summary"):
                        result["usage_tokens"] = event.summary.usage.completion_tokens
                        result["device_seconds"] = event.summary.cost.device_seconds
            except grpc.RpcError:
                pass
            result["code"] = call.code()
            result["ends"] += 1
            with lock:
                results.append(result)

        for i in range(count):
            worker = threading.Thread(target=one, args=(i, rng.randint(1, 20) if i % 3 == 0 else None))
            worker.start()
            workers.append(worker)
        for worker in workers:
            worker.join()
        return results

    def wait_idle(self):
        deadline = time.monotonic() + 20
        while True:
            stats = self.admin.GetStats(admin_service_pb2.GetStatsRequest(), timeout=10)
            if stats.in_flight == 0 and all(v.running + v.waiting + v.kv_blocks_used == 0 for v in stats.variants):
                return stats
            self.assertLess(time.monotonic(), deadline, f"not idle: {stats}")
            time.sleep(0.1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
