"""A complete Bitrate client in Python: pinned, routed and streamed requests, and what each cost.

    pip install grpcio grpcio-tools
    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. \
        proto/bitrate/v1/*.proto proto/google/rpc/*.proto
    python deploy/examples/client.py 127.0.0.1:9000 "What is the capital of France?"
"""

import sys

import grpc

from bitrate.v1 import inference_service_pb2, inference_service_pb2_grpc


def chat_request(message_type, prompt, variant=None):
    request = message_type()
    request.chat.messages.add(role="user", content=prompt)
    request.sampling.temperature = 0
    request.stop.max_tokens = 48
    if variant:
        request.model.variant = variant  # pinned; unset lets the router choose
    return request


def main(address, prompt):
    with grpc.insecure_channel(address) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)

        answer = stub.Generate(chat_request(inference_service_pb2.GenerateRequest, prompt), timeout=60)
        print(f"{answer.route.variant} ({answer.route.precision}): {answer.choices[0].text}")
        print(f"  {answer.usage.completion_tokens} tokens, {answer.cost.device_seconds:.3f} device-seconds")

        for event in stub.GenerateStream(chat_request(inference_service_pb2.GenerateStreamRequest, prompt), timeout=60):
            kind = event.WhichOneof("event")
            if kind == "started":
                print(f"{event.started.route.variant}: ", end="")
            elif kind == "delta":
                print(event.delta.text, end="", flush=True)
            elif kind == "summary":
                print(f"\n  {event.summary.usage.completion_tokens} tokens")

        # The same prompt on every variant, compared with the most precise one.
        request = inference_service_pb2.CompareRequest(max_tokens=24)
        request.chat.messages.add(role="user", content=prompt)
        for event in stub.Compare(request, timeout=300):
            if event.WhichOneof("event") == "result":
                result = event.result
                print(f"{result.variant:>14}: agreement {result.top1_agreement:6.1%}  {result.text!r}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9000",
         sys.argv[2] if len(sys.argv) > 2 else "What is the capital of France?")
