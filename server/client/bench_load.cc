#include "server/client/bench_load.h"

#include <fmt/core.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "bitrate/v1/inference_service.grpc.pb.h"

namespace bitrate {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr int kMaxInFlight = 1024;

double SecondsBetween(SteadyClock::time_point a, SteadyClock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

v1::GenerateStreamRequest MakeRequest(const LoadPlan& plan, int index) {
  v1::GenerateStreamRequest request;
  request.mutable_model()->set_model(plan.model);
  if (!plan.variant.empty()) request.mutable_model()->set_variant(plan.variant);
  // Keyed by the request's number, so that two runs send the same prompts whatever their timing.
  std::mt19937_64 random(plan.seed * 1'000'003 + static_cast<uint64_t>(index));
  std::uniform_int_distribution<int32_t> id(0, static_cast<int32_t>(plan.vocab_size - 1));
  for (int t = 0; t < plan.prompt_tokens; ++t) request.mutable_token_ids()->add_ids(id(random));
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(plan.max_tokens);
  request.mutable_stop()->set_ignore_eos(true);
  return request;
}

struct Run {
  const Connection& connection;
  const LoadPlan& plan;
  std::unique_ptr<v1::InferenceService::Stub> stub;
  SteadyClock::time_point began;
};

void TakeDelta(const v1::StreamDelta& delta, SteadyClock::time_point sent, SteadyClock::time_point now,
               SteadyClock::time_point* last, RequestSample* sample) {
  const int tokens = delta.token_ids_size();
  if (tokens == 0) return;
  int rest = tokens;
  if (sample->completion_tokens == 0) {
    sample->ttft_seconds = SecondsBetween(sent, now);
    *last = now;
    --rest;
  }
  const double gap = rest > 0 ? SecondsBetween(*last, now) / rest : 0;
  for (int i = 0; i < rest; ++i) sample->gap_seconds.push_back(gap);
  sample->completion_tokens += tokens;
  *last = now;
}

RequestSample SendOne(const Run& run, int index) {
  RequestSample sample;
  const v1::GenerateStreamRequest request = MakeRequest(run.plan, index);
  grpc::ClientContext context;
  run.connection.Prepare(context);
  const auto sent = SteadyClock::now();
  auto last = sent;
  sample.start_seconds = SecondsBetween(run.began, sent);
  auto stream = run.stub->GenerateStream(&context, request);
  v1::GenerateStreamResponse event;
  while (stream->Read(&event)) {
    if (event.has_started()) {
      sample.variant = event.started().route().variant();
      sample.prompt_tokens = event.started().prompt_tokens();
    } else if (event.has_delta()) {
      TakeDelta(event.delta(), sent, SteadyClock::now(), &last, &sample);
    } else if (event.has_summary()) {
      const v1::Cost& cost = event.summary().cost();
      sample.device_seconds = cost.device_seconds();
      sample.currency = cost.currency_code();
      sample.cost = static_cast<double>(cost.units()) + cost.nanos() * 1e-9;
    }
  }
  const grpc::Status status = stream->Finish();
  sample.e2e_seconds = SecondsBetween(sent, SteadyClock::now());
  sample.ok = status.ok();
  if (!status.ok()) sample.error = fmt::format("{}: {}", static_cast<int>(status.error_code()), status.error_message());
  return sample;
}

void RunClosed(const Run& run, std::vector<RequestSample>& samples, const std::function<void(int)>& on_done) {
  std::atomic<int> next{0}, finished{0};
  std::vector<std::thread> streams;
  for (int s = 0; s < run.plan.concurrency; ++s) {
    streams.emplace_back([&] {
      for (int i = next++; i < run.plan.requests; i = next++) {
        samples[static_cast<size_t>(i)] = SendOne(run, i);
        on_done(++finished);
      }
    });
  }
  for (std::thread& stream : streams) stream.join();
}

void RunOpen(const Run& run, std::vector<RequestSample>& samples, const std::function<void(int)>& on_done) {
  std::mt19937_64 random(run.plan.seed);
  std::exponential_distribution<double> gap(run.plan.rate);
  std::atomic<int> in_flight{0}, finished{0};
  std::vector<std::thread> requests;
  double at = 0;
  for (int i = 0; i < run.plan.requests; ++i) {
    at += gap(random);
    std::this_thread::sleep_until(run.began +
                                  std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(at)));
    if (in_flight.load() >= kMaxInFlight) {
      samples[static_cast<size_t>(i)].error = "client limit";
      on_done(++finished);
      continue;
    }
    ++in_flight;
    requests.emplace_back([&, i] {
      samples[static_cast<size_t>(i)] = SendOne(run, i);
      --in_flight;
      on_done(++finished);
    });
  }
  for (std::thread& request : requests) request.join();
}

}  // namespace

LoadResult RunLoad(const Connection& connection, const LoadPlan& plan, const std::function<void(int)>& on_done) {
  LoadResult result;
  result.samples.resize(static_cast<size_t>(plan.requests));
  const Run run{connection, plan, v1::InferenceService::NewStub(connection.channel()), SteadyClock::now()};
  if (plan.rate > 0) {
    RunOpen(run, result.samples, on_done);
  } else {
    RunClosed(run, result.samples, on_done);
  }
  result.wall_seconds = SecondsBetween(run.began, SteadyClock::now());
  return result;
}

}  // namespace bitrate
