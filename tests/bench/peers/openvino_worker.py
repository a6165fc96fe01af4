"""One model in OpenVINO GenAI, measured on request. Runs in the peers' Python environment; started by sides.py.

  openvino_worker.py MODEL.gguf THREADS
Reads one JSON object a line, {"batches": [...], "prompt": P, "decode": D, "prefill": [...], "repeats": R}, and answers
with one {"what", "size", "tokens_per_second"} line a figure and {"done": true}. The first line it writes is
{"ready": true, ...} or {"error": ...}. Loading converts the whole file, so the process stays for all pairs; its threads
sleep between requests.
"""

import json
import statistics
import sys


def say(**row):
    print(json.dumps(row), flush=True)


class Model:
    def __init__(self, path, threads):
        import numpy
        import openvino
        import openvino_genai
        self.numpy, self.openvino, self.genai = numpy, openvino, openvino_genai
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        scheduler.max_num_batched_tokens = 8192  # all prompts of a batch in one step: then decode steps are decode only
        scheduler.max_num_seqs = 64
        self.pipeline = openvino_genai.LLMPipeline(path, "CPU", scheduler_config=scheduler, INFERENCE_NUM_THREADS=threads)
        self.version = openvino_genai.__version__

    def generate(self, batch, prompt, new_tokens):
        """(seconds to the first token, seconds in all) as the library's own clocks say."""
        ids = self.numpy.array([[(7919 * s + 104729 * t + 11) % 40000 for t in range(prompt)] for s in range(batch)],
                               dtype=self.numpy.int64)
        config = self.genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample = new_tokens, True, False
        inputs = self.genai.TokenizedInputs(self.openvino.Tensor(ids), self.openvino.Tensor(self.numpy.ones_like(ids)))
        metrics = self.pipeline.generate(inputs, config).perf_metrics
        if metrics.get_num_generated_tokens() != batch * new_tokens:
            raise RuntimeError(f"got {metrics.get_num_generated_tokens()} tokens, wanted {batch * new_tokens}")
        return metrics.get_ttft().mean / 1e3, metrics.get_generate_duration().mean / 1e3


def measure(model, request):
    model.generate(1, 16, 4)  # warms the threads up
    for batch in request["batches"]:
        first, total = model.generate(batch, request["prompt"], request["decode"] + 1)
        say(what="decode", size=batch, tokens_per_second=batch * request["decode"] / (total - first))
    for tokens in request["prefill"]:
        model.generate(1, tokens, 1)  # a new shape is compiled once
        rates = [tokens / model.generate(1, tokens, 1)[0] for _ in range(request["repeats"])]
        say(what="prefill", size=tokens, tokens_per_second=statistics.median(rates))
    say(done=True)


def main(path, threads):
    try:
        model = Model(path, int(threads))
    except Exception as error:  # the library throws what it likes; the parent prints it
        say(error=str(error).strip().splitlines()[-1] if str(error).strip() else repr(error))
        return 1
    say(ready=True, version=model.version)
    for line in sys.stdin:
        try:
            measure(model, json.loads(line))
        except Exception as error:
            say(error=repr(error))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
