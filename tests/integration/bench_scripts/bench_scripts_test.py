"""The pure parts of tests/bench/peers: statistics, pairing, parsing of recorded output, GGUF headers, the load client
against a made-up server. Nothing is timed."""

import asyncio
import io
import os
import pathlib
import sys
import tempfile
import unittest
from contextlib import redirect_stderr

ROOT = pathlib.Path(sys.argv.pop(1))
SAMPLES = pathlib.Path(__file__).with_name("samples")
sys.path.insert(0, str(ROOT / "tests" / "bench" / "peers"))

import compare_peers  # noqa: E402
import gguf_file  # noqa: E402
import load_client  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
import samples  # noqa: E402
import sides  # noqa: E402
import stats  # noqa: E402
import write_shape  # noqa: E402


class Statistics(unittest.TestCase):
    def test_spread_is_the_median_distance_from_the_median(self):
        self.assertEqual(stats.mad([1, 1, 2, 2, 4, 6, 9]), 1)  # a textbook example: median 2, deviations 1 1 0 0 2 4 7
        self.assertEqual(stats.mad([5]), 0)

    def test_nearest_rank(self):
        values = [15, 20, 35, 40, 50]  # a textbook example
        ranks = [stats.nearest_rank(values, q) for q in (0.05, 0.3, 0.4, 0.5, 1.0)]
        self.assertEqual(ranks, [15, 20, 20, 35, 50])
        self.assertEqual(stats.nearest_rank([], 0.5), 0.0)

    def test_order_turns_round_with_the_pair(self):
        orders = [stats.order("AB", pair) for pair in range(4)]
        self.assertEqual(["".join(o) for o in orders], ["AB", "BA", "AB", "BA"])

    def test_ratios_are_taken_inside_a_pair(self):
        runs = {("a", 0): {"x": 10.0}, ("b", 0): {"x": 5.0}, ("a", 1): {"x": 30.0}, ("b", 1): {"x": 10.0},
                ("a", 2): {"x": 7.0}, ("b", 3): {"x": 1.0}, ("a", 4): {"y": 1.0}, ("b", 4): {"x": 1.0},
                ("a", 5): {"x": 1.0}, ("b", 5): {"y": 1.0}}
        self.assertEqual(stats.ratios(runs, "a", "b", "x"), [2.0, 3.0])
        self.assertEqual(stats.of_side(runs, "a", "x"), [10.0, 30.0, 7.0, 1.0])


class Pairing(unittest.TestCase):
    def test_every_precision_is_in_one_group(self):
        self.assertEqual(sorted(p for group in sides.GROUPS for p in group), sorted(sides.PAIRING))

    def test_sides_of_a_group_are_distinct_and_limited(self):
        group = ["int4", "int4-g64-sym"]
        self.assertEqual(sides.sides_of(group, ["llama", "openvino"], sides.FILES["smollm2"]),
                         ["bitrate int4", "bitrate int4-g64-sym", "llama Q4_0", "llama Q4_1", "openvino Q4_0"])
        self.assertEqual(sides.sides_of(group, ["llama"], {"Q4_0"}),
                         ["bitrate int4", "bitrate int4-g64-sym", "llama Q4_0"])

    def test_a_ratio_row_needs_both_sides(self):
        runs = {("bitrate int8", p): {("decode", 1): 30.0 + p} for p in range(3)}
        runs.update({("llama Q8_0", p): {("decode", 1): 10.0, ("decode", 8): 5.0} for p in range(3)})
        (row,) = report.ratio_rows(runs, ["int8"], ["llama", "openvino"])
        self.assertEqual((row["peer"], row["what"], row["size"], row["pairs"]), ("llama Q8_0", "decode", 1, 3))
        self.assertAlmostEqual(row["ratio_median"], 3.1)
        self.assertAlmostEqual(row["ratio_mad"], 0.1)


class Parsing(unittest.TestCase):
    def text(self, name):
        return (SAMPLES / name).read_text()

    def test_llama_batched_bench(self):
        self.assertEqual(samples.batched_bench(self.text("batched_bench.txt")),
                         {("decode", 1): 2.911192, ("decode", 8): 5.479409})

    def test_llama_bench_gives_the_median_sample(self):
        self.assertEqual(samples.llama_bench(self.text("llama_bench.txt")),
                         {("prefill", 32): 6.6165, ("prefill", 64): 20.1153})

    def test_llama_perplexity(self):
        self.assertEqual(samples.perplexity_kld(self.text("perplexity_kld.txt")),
                         {"mean_kld": 0.336048, "same_top1": 0.68235, "ppl_ratio": 1.263848})
        self.assertEqual(samples.perplexity_kld("nothing"), {"mean_kld": None, "same_top1": None, "ppl_ratio": None})

    def test_engine_bench(self):
        figures, others = samples.engine_bench(
            'log\n{"kind": "model", "weight_bits": 8.1}\n{"kind": "decode", "batch": 8, "decode_tokens_per_second": 2.5}\n'
            '{"kind": "prefill", "prompt_tokens": 512, "prefill_tokens_per_second": 900}\n')
        self.assertEqual(figures, {("decode", 8): 2.5, ("prefill", 512): 900})
        self.assertEqual(others["model"]["weight_bits"], 8.1)

    def test_proc_stat(self):
        text = "cpu  9 9 9 9 9 9 9 9\ncpu0 10 1 5 100 2 3 4 6 0 0\ncpu1 20 0 0 50 0 0 0 1 0 0\nintr 5\n"
        self.assertEqual(machine.cpu_times(text, {0}), (23, 6, 131))
        self.assertEqual(machine.cpu_times(text, {0, 1}), (43, 7, 202))

    def test_process_cpu(self):
        fields = ["S", "1", "1", "1", "0", "-1", "0", "0", "0", "0", "0", "300", "200", "50", "50", "20"]
        self.assertEqual(machine.process_cpu("12 (a ) b) " + " ".join(fields)), 600 / os.sysconf("SC_CLK_TCK"))


class Shares(unittest.TestCase):
    def test_of_read_and_of_peak(self):
        # 100 MB a token at 80 tokens/s is 8 GB/s; a body of 1e8 weights at 500 tokens/s is 100 GOP/s.
        self.assertAlmostEqual(report.share_of_read({"bytes_per_token": 1e8}, 80, 1, 10), 0.8)
        self.assertAlmostEqual(report.share_of_read({"bytes_per_token": 1e8}, 80, 8, 10), 0.1)
        self.assertAlmostEqual(report.share_of_peak(1e8, 500, 200), 0.5)

    def test_the_peak_is_that_of_the_format(self):
        rates = {"int8_gop_per_second": 8, "bf16_gop_per_second": 4, "float_gop_per_second": 2}
        names = ["bitrate int4-g64-sym", "llama Q8_0", "llama BF16", "bitrate fp16", "openvino F16", "bitrate fp32"]
        self.assertEqual([report.peak_of(name, rates) for name in names], [8, 8, 4, 2, 2, 2])

    def test_table_is_markdown(self):
        self.assertEqual(report.table(["a", "b"], [["x", 10]]), "| a |  b |\n|---|---:|\n| x | 10 |")

    def test_server_ratios_above_one_are_better(self):
        def result(rate, ttft):
            return {"output_tokens_per_second": rate, "ttft_seconds": {"p50": ttft}, "itl_seconds": {"p99": 0.1}}
        runs = [{"precision": "int4", "load": "8 streams", "pair": 0, "side": side, "result": result(*values)}
                for side, values in {"bitrate int4": (300, 0.5), "llama Q4_0": (100, 1.0)}.items()]
        found = {row["figure"]: row["ratio_median"] for row in report.server_rows(runs)}
        self.assertEqual(found, {"output tok/s": 3.0, "TTFT p50 ms": 2.0, "ITL p99 ms": 1.0})


class Gguf(unittest.TestCase):
    def test_round_trip_and_sizes(self):
        kinds = gguf_file.NUMBER
        metadata = {b"general.architecture": (gguf_file.STRING, b"llama"), b"llama.block_count": (gguf_file.UINT32, 1),
                    b"tokenizer.ggml.tokens": (gguf_file.ARRAY, (gguf_file.STRING, [b"a", b"b"]))}
        tensors = [(b"token_embd.weight", [32, 4], kinds["Q8_0"], lambda: b"q" * (4 * 34)),
                   (b"output_norm.weight", [32], kinds["F32"], lambda: b"n" * 128),
                   (b"blk.0.attn_q.weight", [32, 8], kinds["Q4_0"], lambda: b"w" * (8 * 18))]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "x.gguf"
            gguf_file.write(path, metadata, tensors)
            reader = gguf_file.Reader(path)
            self.assertEqual(path.stat().st_size % gguf_file.ALIGNMENT, 0)
            self.assertTrue(path.read_bytes().endswith(b"w" * 144 + b"\0" * 16))
        self.assertEqual(reader.metadata, metadata)
        self.assertEqual(reader.tensors, [(name, shape, kind) for name, shape, kind, _ in tensors])
        # The tied embedding is the head: 128 weights of 8.5 bits and 256 of 4.5.
        self.assertEqual(gguf_file.sizes(reader.tensors), {"weights": 384, "body_weights": 256, "bytes_per_token": 280,
                                                           "bits": 8 * 280 / 384})
        untied = reader.tensors + [(b"output.weight", [32, 4], kinds["F16"])]
        self.assertEqual(gguf_file.sizes(untied)["bytes_per_token"], 144 + 256)

    def test_wrong_size_is_refused(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(ValueError, "got 3 bytes, wanted 128"):
            gguf_file.write(f"{folder}/x", {}, [(b"t", [32], gguf_file.NUMBER["F32"], lambda: b"123")])

    def test_shape_metadata_fill_the_vocabulary(self):
        class Tokenizer:
            metadata = {b"tokenizer.ggml.tokens": (gguf_file.ARRAY, (gguf_file.STRING, [b"a", b"b"])),
                        b"tokenizer.ggml.token_type": (gguf_file.ARRAY, (gguf_file.INT32, [1, 1])),
                        b"tokenizer.chat_template": (gguf_file.STRING, b"no"), b"llama.block_count": (4, 99)}
        pairs = write_shape.metadata(Tokenizer, 16, 1)
        tokens, types = (pairs[k][1][1] for k in (b"tokenizer.ggml.tokens", b"tokenizer.ggml.token_type"))
        self.assertEqual((len(tokens), len(set(tokens)), len(types)), (128256, 128256, 128256))
        self.assertEqual((tokens[:2], types[:3]), ([b"a", b"b"], [1, 1, 5]))
        self.assertEqual(pairs[b"llama.block_count"], (gguf_file.UINT32, 16))
        self.assertNotIn(b"tokenizer.chat_template", pairs)


async def answer(reader, writer):
    """A llama-server of one request: two tokens, then three in one event, then the end, which counts six."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                 b'data: {"content": "a", "tokens": [1], "stop": false}\n\n'
                 b'data: {"content": "b", "tokens": [2], "stop": false}\n\n'
                 b'data: {"content": "cde", "tokens": [3, 4, 5], "stop": false}\n\n'
                 b'data: {"content": "", "tokens": [], "stop": true, "tokens_predicted": 6}\n\n')
    await writer.drain()
    writer.close()


async def refuse(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    await writer.drain()
    writer.close()


class LoadClient(unittest.TestCase):
    def run_against(self, handler, *argv):
        async def run():
            server = await asyncio.start_server(handler, "127.0.0.1", 0)
            address = "{}:{}".format(*server.sockets[0].getsockname())
            async with server:
                return await load_client.run(load_client.parse(["--http", address, *argv]))
        return asyncio.run(run())

    def test_counts_tokens_and_gaps(self):
        result = self.run_against(answer, "--streams", "2", "--requests", "3", "--prompt", "4", "--output", "6")
        self.assertEqual((result["requests"], result["ok"], result["by_error"]), (3, 3, {}))
        self.assertAlmostEqual(result["output_tokens_per_second"] * result["wall_seconds"], 18)

    def test_open_loop_sends_all(self):
        result = self.run_against(answer, "--rate", "200", "--requests", "4", "--prompt", "4", "--output", "6")
        self.assertEqual(result["ok"], 4)

    def test_short_answers_and_refusals_are_errors(self):
        result = self.run_against(answer, "--requests", "1", "--streams", "1", "--output", "7")
        self.assertEqual((result["ok"], result["by_error"]), (0, {"6 of 7 tokens": 1}))
        result = self.run_against(refuse, "--requests", "2", "--streams", "1")
        self.assertEqual(result["by_error"], {"HTTP/1.1 503 Service Unavailable": 2})
        dead = asyncio.run(load_client.run(load_client.parse(["--http", "127.0.0.1:1", "--requests", "1"])))
        self.assertEqual(dead["ok"], 0)

    def test_gaps_of_shared_events_are_shared(self):
        sample = load_client.Sample()
        sample.take(1)
        sample.take(0)
        sample.take(3)
        self.assertEqual((sample.tokens, len(sample.gaps), len(set(sample.gaps))), (4, 3, 1))

    def test_prompts_are_keyed_by_number(self):
        self.assertEqual(load_client.prompt_ids(1, 5, 8, 100), load_client.prompt_ids(1, 5, 8, 100))
        self.assertNotEqual(load_client.prompt_ids(1, 5, 8, 100), load_client.prompt_ids(1, 6, 8, 100))


class Arguments(unittest.TestCase):
    def test_defaults(self):
        a = compare_peers.parse([])
        self.assertEqual((a.pairs, a.batches, a.prefill, a.precisions), (5, [1, 8, 16, 32], [512, 2048],
                                                                        list(sides.PAIRING)))

    def test_bad_values_are_named(self):
        for argv, text in ((["--precisions", "int3"], "int3 is unknown"), (["--batches", "0"], "1 or more"),
                           (["--prefill", "x"], "separated by commas"), (["--cpus", "4096"], "may use")):
            said = io.StringIO()
            with self.assertRaises(SystemExit) as end, redirect_stderr(said):
                compare_peers.parse(argv)
            self.assertEqual(end.exception.code, 2)
            self.assertIn(text, said.getvalue())

    def test_a_missing_program_is_named(self):
        setup = sides.Setup(1, {0})
        with self.assertRaisesRegex(sides.PeerError, "no-such-program: not there"):
            setup.run(["./no-such-program"])
        with self.assertRaisesRegex(sides.PeerError, "ended with 3:\n  broken"):
            setup.run(["sh", "-c", "echo broken >&2; exit 3"])


if __name__ == "__main__":
    unittest.main()
