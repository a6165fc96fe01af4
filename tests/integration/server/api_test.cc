// Generate, GenerateStream, Score and Compare over gRPC on the fake engine.
#include <thread>

#include "tests/integration/server/harness.h"

namespace bitrate {
namespace {

class ApiTest : public ServerFixture {};

TEST_F(ApiTest, GenerateAnswersInFull) {
  ServerSettings settings = Defaults();
  settings.prices.currency = "USD";
  settings.prices.core_hour = 36;
  settings.prices.pricing_version = "p1";
  Start(settings);
  v1::GenerateRequest request = Request();
  request.set_request_id("my-id");
  request.mutable_logprobs()->set_output_top_n(2);
  request.mutable_logprobs()->set_prompt_top_n(0);
  request.set_n(2);
  v1::GenerateResponse response;
  const grpc::Status status = Generate(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.request_id(), "my-id");
  EXPECT_EQ(response.route().variant(), "int8");
  EXPECT_EQ(response.route().precision(), "int8");
  EXPECT_EQ(response.route().reason(), v1::ROUTE_REASON_DEFAULT);
  EXPECT_FALSE(response.route().policy_etag().empty());
  ASSERT_EQ(response.choices_size(), 2);
  EXPECT_EQ(response.choices(1).index(), 1);
  EXPECT_EQ(std::vector<int32_t>(response.choices(1).token_ids().begin(), response.choices(1).token_ids().end()),
            (std::vector<int32_t>{4, 5, 6, 7}));
  EXPECT_EQ(response.choices(0).logprobs_size(), 4);
  EXPECT_EQ(response.choices(0).logprobs(2).logprob(), -3);
  EXPECT_EQ(response.choices(0).logprobs(0).top_size(), 2);
  EXPECT_EQ(response.choices(0).finish_reason(), v1::FINISH_REASON_LENGTH);
  ASSERT_EQ(response.prompt_logprobs_size(), 3);
  EXPECT_FALSE(response.prompt_logprobs(0).has_logprob());  // nothing predicts the first token
  EXPECT_TRUE(response.prompt_logprobs(1).has_logprob());
  EXPECT_EQ(response.usage().prompt_tokens(), 3);
  EXPECT_EQ(response.usage().completion_tokens(), 8);
  EXPECT_TRUE(response.timing().has_time_to_first_token());
  EXPECT_EQ(response.cost().device_seconds(), 0.5);
  EXPECT_EQ(response.cost().nanos(), 5'000'000);
  EXPECT_EQ(response.cost().pricing_version(), "p1");
}

TEST_F(ApiTest, StreamIsStartedDeltasFinishedSummary) {
  Start(Defaults());
  grpc::ClientContext context;
  Bound(&context);
  auto reader = inference_->GenerateStream(&context, StreamRequest());
  std::vector<int> kinds;
  std::vector<int32_t> tokens;
  int last_count = 0;
  for (v1::GenerateStreamResponse event; reader->Read(&event);) {
    if (kinds.empty() || kinds.back() != event.event_case()) kinds.push_back(event.event_case());
    if (!event.has_delta()) continue;
    tokens.insert(tokens.end(), event.delta().token_ids().begin(), event.delta().token_ids().end());
    EXPECT_EQ(event.delta().completion_tokens(), static_cast<int>(tokens.size()));
    last_count = event.delta().completion_tokens();
  }
  ASSERT_TRUE(reader->Finish().ok());
  using E = v1::GenerateStreamResponse;
  EXPECT_EQ(kinds, (std::vector<int>{E::kStarted, E::kDelta, E::kFinished, E::kSummary}));
  EXPECT_EQ(tokens, (std::vector<int32_t>{4, 5, 6, 7}));
  EXPECT_EQ(last_count, 4);
}

TEST_F(ApiTest, ClientCancelEndsTheRequest) {
  Start(Defaults());
  control_.Hold();
  grpc::ClientContext context;
  Bound(&context);
  auto reader = inference_->GenerateStream(&context, StreamRequest());
  WaitForAccepted("int8", 1);
  context.TryCancel();
  v1::GenerateStreamResponse event;
  while (reader->Read(&event)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  WaitForInFlight(0);  // though the engine is held
  control_.Release();
  Probe();
  EXPECT_EQ(server_->registry()->Snapshot("m", "int8")->counts.cancelled, 1);
}

TEST_F(ApiTest, UnaryCancelEndsTheRequest) {
  Start(Defaults());
  control_.Hold();
  grpc::ClientContext context;
  Bound(&context);
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread call([&] { status = inference_->Generate(&context, Request(), &response); });
  WaitForInFlight(1);
  context.TryCancel();
  call.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  WaitForInFlight(0);
}

TEST_F(ApiTest, DeadlineBoundsWork) {
  Start(Defaults());
  control_.Hold();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  v1::GenerateResponse response;
  EXPECT_EQ(inference_->Generate(&context, Request(), &response).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  WaitForInFlight(0);
  const VariantCounts counts = server_->registry()->Snapshot("m", "int8")->counts;
  // The client's own timer resets the stream; the server sees that or its own deadline first.
  EXPECT_EQ(counts.expired + counts.cancelled, 1);
  EXPECT_EQ(counts.completed, 0);
}

TEST_F(ApiTest, QueueTimeIsADeadlineOfItsOwn) {
  Start(Defaults());
  control_.Hold();
  v1::GenerateRequest request = Request();
  request.mutable_queue_limits()->mutable_max_queue_time()->set_nanos(20'000'000);
  v1::GenerateResponse response;
  const grpc::Status status = Generate(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(FindDetail<google::rpc::ErrorInfo>(status)->domain(), "bitrate.dev");
}

TEST_F(ApiTest, OverloadSaysWhenToComeBack) {
  Start(Defaults());
  control_.FailSubmit(ResourceExhausted("the queue is full"));
  grpc::ClientContext context;
  Bound(&context);
  v1::GenerateResponse response;
  const grpc::Status status = inference_->Generate(&context, Request(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(status));
  EXPECT_EQ(FindDetail<google::rpc::QuotaFailure>(status)->violations(0).subject(), "m:int8");
  const auto& trailers = context.GetServerTrailingMetadata();
  ASSERT_NE(trailers.find("grpc-retry-pushback-ms"), trailers.end());
  control_.FailSubmit(OkStatus());
  Probe();
}

// A reader that takes nothing is ended when its buffer is full; everybody else goes on.
TEST_F(ApiTest, SlowReaderIsEndedAlone) {
  ServerSettings settings = Defaults();
  settings.limits.max_stream_buffer_bytes = 4096;
  Start(settings);
  v1::GenerateStreamRequest request = StreamRequest();
  request.set_n(128);
  request.mutable_stop()->set_max_tokens(60);
  request.mutable_logprobs()->set_output_top_n(20);  // about 3 MB in all
  grpc::ClientContext context;
  Bound(&context);
  auto reader = inference_->GenerateStream(&context, request);
  WaitForAccepted("int8", 1);
  WaitForInFlight(0);  // the server is done with it though nothing was read
  Probe();
  v1::GenerateStreamResponse event;
  while (reader->Read(&event)) {
  }
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(FindDetail<google::rpc::ErrorInfo>(status)->reason(), "SLOW_READER");
}

TEST_F(ApiTest, RoutingIsStickyByMetadata) {
  ServerSettings settings = Defaults();
  settings.routing = {{{"m", "exp", "exp", {{"a", "int8", 5000}, {"b", "int4", 5000}}, {}}}};
  Start(settings);
  std::string first;
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    Bound(&context);
    context.AddMetadata("x-bitrate-unit", "user-7");
    v1::GenerateResponse response;
    ASSERT_TRUE(inference_->Generate(&context, Request(), &response).ok());
    EXPECT_EQ(response.route().reason(), v1::ROUTE_REASON_STICKY);
    EXPECT_EQ(response.route().experiment(), "exp");
    if (first.empty()) first = response.route().arm();
    EXPECT_EQ(response.route().arm(), first);
  }
  std::set<std::string> arms;
  for (int i = 0; i < 50; ++i) {
    v1::GenerateResponse response;
    ASSERT_TRUE(Generate(Request(), &response).ok());
    arms.insert(response.route().arm());
  }
  EXPECT_EQ(arms.size(), 2u);
}

TEST_F(ApiTest, ScoreOverTheWire) {
  Start(Defaults());
  v1::ScoreRequest request;
  auto* item = request.add_items();
  item->mutable_context_ids()->add_ids(5);
  item->mutable_continuation_ids()->add_ids(6);
  item->mutable_continuation_ids()->add_ids(7);
  grpc::ClientContext context;
  Bound(&context);
  v1::ScoreResponse response;
  const grpc::Status status = inference_->Score(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 1);
  EXPECT_EQ(response.results(0).sum_logprob(), -3);
  EXPECT_TRUE(response.results(0).is_greedy());
  EXPECT_EQ(response.route().variant(), "int8");
}

TEST_F(ApiTest, CompareOverTheWire) {
  Start(Defaults());
  v1::CompareRequest request;
  request.mutable_token_ids()->add_ids(1);
  request.set_max_tokens(3);
  grpc::ClientContext context;
  Bound(&context);
  auto reader = inference_->Compare(&context, request);
  std::vector<v1::CompareResponse> events;
  for (v1::CompareResponse event; reader->Read(&event);) events.push_back(event);
  const grpc::Status status = reader->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].started().variants_size(), 2);
  EXPECT_TRUE(events[1].result().is_reference());
  EXPECT_EQ(events[2].result().variant(), "int4");
  EXPECT_EQ(events[3].summary().num_compared(), 2);
  EXPECT_EQ(events[3].summary().total_cost().device_seconds(), 0.75);  // two greedy runs and one forced
}

TEST_F(ApiTest, ModelsAndVariants) {
  Start(Defaults());
  v1::ListModelsResponse models;
  grpc::ClientContext c1, c2, c3;
  ASSERT_TRUE(models_->ListModels(&c1, {}, &models).ok());
  ASSERT_EQ(models.models_size(), 1);
  EXPECT_EQ(models.models(0).vocab_size(), kFakeVocab);
  EXPECT_EQ(models.models(0).variants_size(), 2);
  EXPECT_FALSE(models.models(0).has_tokenizer());
  v1::ListVariantsResponse variants;
  ASSERT_TRUE(models_->ListVariants(&c2, {}, &variants).ok());
  EXPECT_EQ(variants.variants(1).name(), "int4");
  EXPECT_EQ(variants.variants(1).state(), v1::VARIANT_STATE_READY);
  EXPECT_EQ(variants.variants(1).precision_kind(), v1::PRECISION_KIND_INT4);
  v1::GetVariantRequest request;
  v1::GetVariantResponse variant;
  request.set_variant("nf4");
  const grpc::Status status = models_->GetVariant(&c3, request, &variant);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(FindDetail<google::rpc::ResourceInfo>(status)->resource_name(), "m:nf4");
}

// Promise 4, under many callers at once: everyone gets one end and the counts add up.
TEST_F(ApiTest, ManyCallersEachGetOneEnd) {
  Start(Defaults());
  constexpr int kThreads = 8, kCalls = 25;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < kCalls; ++i) {
        grpc::ClientContext context;
        Bound(&context);
        if ((t + i) % 5 == 0) context.TryCancel();
        v1::GenerateResponse response;
        const grpc::Status status = inference_->Generate(&context, Request(), &response);
        EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::CANCELLED) << status.error_message();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  WaitForInFlight(0);
  const VariantCounts counts = server_->registry()->Snapshot("m", "int8")->counts;
  EXPECT_EQ(counts.in_flight(), 0);
  EXPECT_EQ(counts.accepted, counts.completed + counts.cancelled);
}

}  // namespace
}  // namespace bitrate
