// The real engine behind the server: golden checkpoints (no tokenizer, so token ids) and, where it was fetched, the
// real model.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/base/compute_pool.h"
#include "server/engine_loader.h"
#include "tests/integration/server/harness.h"

namespace bitrate {
namespace {

class EngineTest : public ServerFixture {
 protected:
  ServerSettings WithModel(const std::string& path, const std::vector<std::string>& variants) {
    ServerSettings settings = Defaults();
    settings.models = {FakeModel("m", variants)};
    settings.models[0].path = path;
    for (VariantSettings& variant : settings.models[0].variants) variant.max_sequences = 4;
    return settings;
  }
  void StartReal(const ServerSettings& settings) {
    auto loader = MakeEngineLoader(&pool_, Clock::System());
    ASSERT_TRUE(loader.ok()) << loader.status();
    engine_ = *std::move(loader);
    Start(settings, engine_.get());
  }
  std::vector<int32_t> Greedy(const std::string& variant, std::vector<int32_t> prompt, int count) {
    v1::GenerateRequest request = Request(std::move(prompt));
    request.mutable_model()->set_variant(variant);
    request.mutable_sampling()->set_temperature(0);
    request.mutable_stop()->set_max_tokens(count);
    request.mutable_stop()->set_ignore_eos(true);
    v1::GenerateResponse response;
    const grpc::Status status = Generate(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (response.choices_size() != 1) return {};
    return {response.choices(0).token_ids().begin(), response.choices(0).token_ids().end()};
  }

  ComputePool pool_{{2, false}};
  std::unique_ptr<ModelLoader> engine_;
};

TEST_F(EngineTest, GoldenModelAtSeveralPrecisions) {
  ASSERT_NO_FATAL_FAILURE(StartReal(WithModel(BITRATE_GOLDEN_DIR "/arch/llama_tied/model", {"fp32", "int8"})));
  const std::vector<int32_t> first = Greedy("fp32", {1, 5, 9}, 6);
  EXPECT_EQ(first.size(), 6u);
  EXPECT_EQ(Greedy("fp32", {1, 5, 9}, 6), first);
  EXPECT_EQ(Greedy("int8", {1, 5, 9}, 6).size(), 6u);
}

// Promise 2 as a client sees it: company changes nothing.
TEST_F(EngineTest, SameAnswerInCompany) {
  ASSERT_NO_FATAL_FAILURE(StartReal(WithModel(BITRATE_GOLDEN_DIR "/arch/llama_tied/model", {"fp32"})));
  const std::vector<int32_t> alone = Greedy("fp32", {1, 5, 9, 2}, 8);
  std::vector<std::thread> company;
  for (int i = 0; i < 6; ++i) {
    company.emplace_back([this, i] { Greedy("fp32", {i, 3, i + 1}, 10); });
  }
  EXPECT_EQ(Greedy("fp32", {1, 5, 9, 2}, 8), alone);
  for (std::thread& thread : company) thread.join();
}

// Score gives the bits that Generate reports for the same tokens.
TEST_F(EngineTest, ScoreEqualsGenerateToTheBit) {
  ASSERT_NO_FATAL_FAILURE(StartReal(WithModel(BITRATE_GOLDEN_DIR "/arch/llama_tied/model", {"fp32"})));
  v1::GenerateRequest request = Request({1, 5, 9});
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(5);
  request.mutable_stop()->set_ignore_eos(true);
  request.mutable_logprobs()->set_output_top_n(0);
  v1::GenerateResponse generated;
  ASSERT_TRUE(Generate(request, &generated).ok());
  v1::ScoreRequest score;
  auto* item = score.add_items();
  for (const int32_t id : {1, 5, 9}) item->mutable_context_ids()->add_ids(id);
  for (const int32_t id : generated.choices(0).token_ids()) item->mutable_continuation_ids()->add_ids(id);
  grpc::ClientContext context;
  Bound(&context);
  v1::ScoreResponse scored;
  const grpc::Status status = inference_->Score(&context, score, &scored);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(scored.results(0).is_greedy());
  ASSERT_EQ(scored.results(0).tokens_size(), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(scored.results(0).tokens(i).logprob(), generated.choices(0).logprobs(i).logprob()) << i;
  }
}

// Promise 5: what requests were charged is what the pool clocked, to float tolerance (waste and warm-up apart).
TEST_F(EngineTest, ChargesStayWithinWhatThePoolClocked) {
  ASSERT_NO_FATAL_FAILURE(StartReal(WithModel(BITRATE_GOLDEN_DIR "/arch/llama_tied/model", {"fp32"})));
  const double before = server_->registry()->Acquire("m", "fp32")->instance->LeasedSeconds();
  double charged = 0;
  for (int i = 0; i < 5; ++i) {
    v1::GenerateRequest request = Request({1, 5, 9, i});
    request.mutable_stop()->set_max_tokens(8);
    request.set_use_prefix_cache(false);
    v1::GenerateResponse response;
    ASSERT_TRUE(Generate(request, &response).ok());
    charged += response.cost().device_seconds();
  }
  const double clocked = server_->registry()->Acquire("m", "fp32")->instance->LeasedSeconds() - before;
  EXPECT_GT(charged, 0);
  EXPECT_LE(charged, clocked * 1.000001);
}

TEST_F(EngineTest, DamagedCheckpointIsAStartError) {
  const auto file = std::filesystem::temp_directory_path() / "bitrate-damaged.gguf";
  { std::ofstream(file) << "GGUF but not really"; }
  auto loader = MakeEngineLoader(&pool_, Clock::System());
  ASSERT_TRUE(loader.ok());
  const Status status = TryStart(WithModel(file.string(), {"fp32"}), loader->get());
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("model m"), absl::string_view::npos) << status;
  std::filesystem::remove(file);
}

class RealModelTest : public EngineTest {
 protected:
  void SetUp() override {
    const std::string path = BITRATE_MODEL_DIR "/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "the real model was not fetched (quickstart.sh does)";
    ServerSettings settings = WithModel(path, {"int8"});
    settings.models[0].variants[0].max_context = 512;
    StartReal(settings);
  }
};

TEST_F(RealModelTest, TextInTextOut) {
  v1::GenerateRequest request;
  request.set_text("The capital of France is");
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(8);
  v1::GenerateResponse response;
  const grpc::Status status = Generate(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_NE(response.choices(0).text().find("Paris"), std::string::npos) << response.choices(0).text();
  // The stream says the same, piece by piece.
  v1::GenerateStreamRequest twin;
  ASSERT_TRUE(twin.ParseFromString(request.SerializeAsString()));
  grpc::ClientContext context;
  Bound(&context);
  auto reader = inference_->GenerateStream(&context, twin);
  std::string text;
  for (v1::GenerateStreamResponse event; reader->Read(&event);) text += event.delta().text();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(text, response.choices(0).text());
}

TEST_F(RealModelTest, StopStringsNeverShow) {
  v1::GenerateRequest request;
  request.set_text("One, two, three, four,");
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(24);
  v1::GenerateResponse whole, cut;
  ASSERT_TRUE(Generate(request, &whole).ok());
  const std::string text = whole.choices(0).text();
  ASSERT_GT(text.size(), 8u);
  const std::string stop = text.substr(text.size() / 2, 3);
  request.mutable_stop()->add_stop(stop);
  ASSERT_TRUE(Generate(request, &cut).ok());
  EXPECT_EQ(cut.choices(0).finish_reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(cut.choices(0).matched_stop(), stop);
  EXPECT_EQ(cut.choices(0).text(), text.substr(0, text.find(stop)));
}

TEST_F(RealModelTest, ChatKeepsSpecialStringsOfTheUserAsText) {
  v1::ApplyChatTemplateRequest request;
  auto* message = request.mutable_chat()->add_messages();
  message->set_role("user");
  message->set_content("<|im_end|>");
  grpc::ClientContext c1, c2;
  v1::ApplyChatTemplateResponse rendered;
  const grpc::Status status = inference_->ApplyChatTemplate(&c1, request, &rendered);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_NE(rendered.text().find("<|im_end|>"), std::string::npos);
  // As plain text the same string would be one special token more.
  v1::TokenizeRequest tokenize;
  v1::TokenizeResponse tokens;
  tokenize.set_text(rendered.text());
  ASSERT_TRUE(inference_->Tokenize(&c2, tokenize, &tokens).ok());
  EXPECT_GT(rendered.token_ids_size(), tokens.token_ids_size());
}

TEST_F(RealModelTest, InvalidUtf8InTokensIsHeldBackNotSent) {
  v1::DetokenizeRequest request;
  v1::TokenizeRequest tokenize;
  v1::TokenizeResponse tokens;
  grpc::ClientContext c1, c2;
  tokenize.set_text("na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8e\xb5");
  ASSERT_TRUE(inference_->Tokenize(&c1, tokenize, &tokens).ok());
  for (const int32_t id : tokens.token_ids()) request.add_token_ids(id);
  v1::DetokenizeResponse text;
  ASSERT_TRUE(inference_->Detokenize(&c2, request, &text).ok());
  EXPECT_EQ(text.text(), tokenize.text());
}

}  // namespace
}  // namespace bitrate
