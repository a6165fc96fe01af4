// Bad requests over the wire (reliability corpus B1, B2, B3, B7): the exact code, the field's name, and after each a
// good request that is answered.
#include <cmath>
#include <functional>
#include <limits>

#include "tests/integration/server/harness.h"

namespace bitrate {
namespace {

using grpc::StatusCode;

struct Case {
  const char* name;
  std::function<void(v1::GenerateRequest&)> change;
  grpc::StatusCode code;
  const char* field;  // of the BadRequest; "" = none wanted
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class BadInput : public ServerFixture, public testing::WithParamInterface<Case> {};

TEST_P(BadInput, ExactCodeFieldAndAProbe) {
  Start(Defaults());
  v1::GenerateRequest request = Request();
  GetParam().change(request);
  v1::GenerateResponse response;
  const grpc::Status status = Generate(request, &response);
  EXPECT_EQ(status.error_code(), GetParam().code) << status.error_message();
  const auto info = FindDetail<google::rpc::ErrorInfo>(status);
  ASSERT_TRUE(info) << "details are always there";
  EXPECT_EQ(info->domain(), "bitrate.dev");
  EXPECT_FALSE(FindDetail<google::rpc::RequestInfo>(status)->request_id().empty());
  EXPECT_FALSE(FindDetail<google::rpc::RetryInfo>(status)) << "what can never work is not to be retried";
  const auto bad = FindDetail<google::rpc::BadRequest>(status);
  if (*GetParam().field == '\0') {
    EXPECT_FALSE(bad);
  } else {
    ASSERT_TRUE(bad);
    EXPECT_EQ(bad->field_violations(0).field(), GetParam().field) << status.error_message();
  }
  // The stream door says the same.
  v1::GenerateStreamRequest twin;
  ASSERT_TRUE(twin.ParseFromString(request.SerializeAsString()));
  grpc::ClientContext context;
  Bound(&context);
  auto reader = inference_->GenerateStream(&context, twin);
  v1::GenerateStreamResponse event;
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_EQ(reader->Finish().error_code(), GetParam().code);
  Probe();
}

constexpr StatusCode kInvalid = StatusCode::INVALID_ARGUMENT;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Case Sampling(const char* name, std::function<void(v1::SamplingParams&)> change, const char* field) {
  return {name, [change](auto& r) { change(*r.mutable_sampling()); }, kInvalid, field};
}
Case Stop(const char* name, std::function<void(v1::StopParams&)> change, const char* field) {
  return {name, [change](auto& r) { change(*r.mutable_stop()); }, kInvalid, field};
}

INSTANTIATE_TEST_SUITE_P(
    Prompts, BadInput,
    testing::Values(
        Case{"no_prompt", [](auto& r) { r.clear_prompt(); }, kInvalid, "prompt"},
        Case{"empty_text", [](auto& r) { r.set_text(""); }, kInvalid, "text"},
        Case{"empty_ids", [](auto& r) { r.mutable_token_ids()->clear_ids(); }, kInvalid, "token_ids"},
        Case{"negative_id", [](auto& r) { r.mutable_token_ids()->add_ids(-1); }, kInvalid, "token_ids.ids[3]"},
        Case{"id_at_vocab", [](auto& r) { r.mutable_token_ids()->add_ids(kFakeVocab); }, kInvalid, "token_ids.ids[3]"},
        Case{"empty_chat", [](auto& r) { r.mutable_chat(); }, kInvalid, "chat.messages"},
        Case{"text_without_tokenizer", [](auto& r) { r.set_text("hello"); }, StatusCode::FAILED_PRECONDITION, ""},
        Case{"chat_without_template", [](auto& r) { r.mutable_chat()->add_messages()->set_role("user"); },
             StatusCode::FAILED_PRECONDITION, ""},
        Case{"prompt_over_context",
             [](auto& r) {
               for (int i = 0; i < kFakeContext; ++i) r.mutable_token_ids()->add_ids(1);
             },
             kInvalid, "prompt"},
        Case{"max_tokens_over_context", [](auto& r) { r.mutable_stop()->set_max_tokens(kFakeContext - 2); }, kInvalid,
             "stop.max_tokens"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    SamplingFields, BadInput,
    testing::Values(Sampling(
                        "temperature_negative", [](auto& s) { s.set_temperature(-1); }, "sampling.temperature"),
                    Sampling(
                        "temperature_nan", [](auto& s) { s.set_temperature(kNan); }, "sampling.temperature"),
                    Sampling(
                        "temperature_inf", [](auto& s) { s.set_temperature(kInf); }, "sampling.temperature"),
                    Sampling(
                        "top_p_zero", [](auto& s) { s.set_top_p(0); }, "sampling.top_p"),
                    Sampling(
                        "top_p_over", [](auto& s) { s.set_top_p(1.5); }, "sampling.top_p"),
                    Sampling(
                        "top_k_negative", [](auto& s) { s.set_top_k(-1); }, "sampling.top_k"),
                    Sampling(
                        "min_p_over", [](auto& s) { s.set_min_p(2); }, "sampling.min_p"),
                    Sampling(
                        "repetition_zero", [](auto& s) { s.set_repetition_penalty(0); }, "sampling.repetition_penalty"),
                    Sampling(
                        "presence_over", [](auto& s) { s.set_presence_penalty(3); }, "sampling.presence_penalty"),
                    Sampling(
                        "frequency_nan", [](auto& s) { s.set_frequency_penalty(kNan); }, "sampling.frequency_penalty"),
                    Sampling(
                        "bias_id", [](auto& s) { s.add_logit_bias()->set_token_id(kFakeVocab); },
                        "sampling.logit_bias"),
                    Sampling(
                        "bias_value", [](auto& s) { s.add_logit_bias()->set_bias(kInf); }, "sampling.logit_bias"),
                    Sampling(
                        "bias_twice",
                        [](auto& s) {
                          s.add_logit_bias()->set_token_id(3);
                          s.add_logit_bias()->set_token_id(3);
                        },
                        "sampling.logit_bias"),
                    Sampling(
                        "bias_many",
                        [](auto& s) {
                          for (int i = 0; i < 1025; ++i) s.add_logit_bias()->set_token_id(i % kFakeVocab);
                        },
                        "sampling.logit_bias")),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    StopFields, BadInput,
    testing::Values(Stop(
                        "max_tokens_negative", [](auto& s) { s.set_max_tokens(-1); }, "stop.max_tokens"),
                    Stop(
                        "min_tokens_negative", [](auto& s) { s.set_min_tokens(-1); }, "stop.min_tokens"),
                    Stop(
                        "min_over_max",
                        [](auto& s) {
                          s.set_min_tokens(9);
                          s.set_max_tokens(3);
                        },
                        "stop.min_tokens"),
                    Stop(
                        "stop_empty", [](auto& s) { s.add_stop(""); }, "stop.stop"),
                    Stop(
                        "stop_long", [](auto& s) { s.add_stop(std::string(1025, 's')); }, "stop.stop"),
                    Stop(
                        "stop_many",
                        [](auto& s) {
                          for (int i = 0; i < 10'000; ++i) s.add_stop("x");
                        },
                        "stop.stop"),
                    Stop(
                        "stop_without_tokenizer", [](auto& s) { s.add_stop("x"); }, "stop.stop"),
                    Stop(
                        "stop_id", [](auto& s) { s.add_stop_token_ids(-7); }, "stop.stop_token_ids"),
                    Stop(
                        "stop_ids_many",
                        [](auto& s) {
                          for (int i = 0; i < 257; ++i) s.add_stop_token_ids(i);
                        },
                        "stop.stop_token_ids")),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    OtherFields, BadInput,
    testing::Values(
        Case{"n_zero", [](auto& r) { r.set_n(0); }, kInvalid, "n"},
        Case{"n_max_int", [](auto& r) { r.set_n(std::numeric_limits<int32_t>::max()); }, kInvalid, "n"},
        Case{"n_min_int", [](auto& r) { r.set_n(std::numeric_limits<int32_t>::min()); }, kInvalid, "n"},
        Case{"priority", [](auto& r) { r.set_priority(4); }, kInvalid, "priority"},
        Case{"top_n_negative", [](auto& r) { r.mutable_logprobs()->set_output_top_n(-1); }, kInvalid,
             "logprobs.output_top_n"},
        Case{"top_n_over", [](auto& r) { r.mutable_logprobs()->set_output_top_n(21); }, kInvalid,
             "logprobs.output_top_n"},
        Case{"prompt_top_n_over", [](auto& r) { r.mutable_logprobs()->set_prompt_top_n(21); }, kInvalid,
             "logprobs.prompt_top_n"},
        Case{"queue_time", [](auto& r) { r.mutable_queue_limits()->mutable_max_queue_time()->set_seconds(-5); },
             kInvalid, "queue_limits.max_queue_time"},
        Case{"request_id", [](auto& r) { r.set_request_id(std::string(257, 'x')); }, kInvalid, "request_id"},
        Case{"labels",
             [](auto& r) {
               for (int i = 0; i < 17; ++i) (*r.mutable_labels())[std::to_string(i)] = "v";
             },
             kInvalid, "labels"},
        Case{"constraint", [](auto& r) { r.mutable_constraint()->set_json_object(true); }, StatusCode::UNIMPLEMENTED,
             ""}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Names, BadInput,
    testing::Values(
        Case{"unknown_model", [](auto& r) { r.mutable_model()->set_model("nope"); }, StatusCode::NOT_FOUND, ""},
        Case{"unknown_variant", [](auto& r) { r.mutable_model()->set_variant("nf4"); }, StatusCode::NOT_FOUND, ""},
        Case{"unknown_pin", [](auto& r) { r.mutable_model()->set_model("m:nf4"); }, StatusCode::NOT_FOUND, ""},
        Case{"empty_pin", [](auto& r) { r.mutable_model()->set_model("m:"); }, kInvalid, "model.model"},
        Case{"two_pins",
             [](auto& r) {
               r.mutable_model()->set_model("m:int8");
               r.mutable_model()->set_variant("int4");
             },
             kInvalid, "model.variant"},
        Case{"unknown_experiment", [](auto& r) { r.mutable_model()->mutable_routing()->set_experiment("e"); },
             StatusCode::NOT_FOUND, ""},
        Case{"path", [](auto& r) { r.mutable_model()->set_model("../../etc/passwd"); }, StatusCode::NOT_FOUND, ""},
        Case{"absolute_path", [](auto& r) { r.mutable_model()->set_model("/etc/passwd"); }, StatusCode::NOT_FOUND, ""},
        Case{"nul", [](auto& r) { r.mutable_model()->set_model(std::string("m\0x", 3)); }, kInvalid, "model.model"},
        Case{"long_name", [](auto& r) { r.mutable_model()->set_variant(std::string(4096, 'v')); }, kInvalid,
             "model.variant"},
        Case{"long_unit", [](auto& r) { r.mutable_model()->mutable_routing()->set_unit_id(std::string(257, 'u')); },
             kInvalid, "model.routing.unit_id"}),
    [](const auto& info) { return info.param.name; });

class BadCalls : public ServerFixture {};

// The library's own answer to a message over the limit.
TEST_F(BadCalls, MessageOverTheReceiveLimit) {
  ServerSettings settings = Defaults();
  settings.limits.max_message_bytes = 64 << 10;
  Start(settings);
  v1::GenerateRequest request = Request();
  request.set_text(std::string(128 << 10, 'x'));
  v1::GenerateResponse response;
  EXPECT_EQ(Generate(request, &response).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  Probe();
}

TEST_F(BadCalls, ScoreItems) {
  Start(Defaults());
  const auto score = [&](const v1::ScoreRequest& request) {
    grpc::ClientContext context;
    Bound(&context);
    v1::ScoreResponse response;
    return inference_->Score(&context, request, &response);
  };
  const auto field = [](const grpc::Status& status) {
    const auto bad = FindDetail<google::rpc::BadRequest>(status);
    return bad ? bad->field_violations(0).field() : "";
  };
  v1::ScoreRequest request;
  EXPECT_EQ(field(score(request)), "items");
  auto* item = request.add_items();
  EXPECT_EQ(field(score(request)), "items[0].continuation");
  item->mutable_continuation_ids()->add_ids(-1);
  EXPECT_EQ(field(score(request)), "items[0].continuation_ids.ids[0]");
  item->mutable_continuation_ids()->set_ids(0, 1);
  item->set_context_text("text");
  EXPECT_EQ(field(score(request)), "items[0].context");
  item->clear_context();
  for (int64_t i = 0; i < kFakeContext; ++i) item->mutable_continuation_ids()->add_ids(1);
  EXPECT_EQ(field(score(request)), "items[0]");
  request.clear_items();
  for (int i = 0; i < 1025; ++i) request.add_items()->mutable_continuation_ids()->add_ids(1);
  EXPECT_EQ(field(score(request)), "items");
  request.mutable_items()->DeleteSubrange(1, 1024);
  request.set_top_n(-1);
  EXPECT_EQ(field(score(request)), "top_n");
  request.set_top_n(21);
  EXPECT_EQ(field(score(request)), "top_n");
  request.clear_top_n();
  EXPECT_TRUE(score(request).ok());
  Probe();
}

TEST_F(BadCalls, Compare) {
  Start(Defaults());
  const auto compare = [&](std::function<void(v1::CompareRequest&)> change) {
    v1::CompareRequest request;
    request.mutable_token_ids()->add_ids(1);
    change(request);
    grpc::ClientContext context;
    Bound(&context);
    auto reader = inference_->Compare(&context, request);
    v1::CompareResponse event;
    while (reader->Read(&event)) {
    }
    return reader->Finish().error_code();
  };
  EXPECT_EQ(compare([](auto&) {}), StatusCode::OK);
  EXPECT_EQ(compare([](auto& r) { r.clear_prompt(); }), kInvalid);
  EXPECT_EQ(compare([](auto& r) { r.set_model("m:int8"); }), kInvalid);
  EXPECT_EQ(compare([](auto& r) { r.set_model("x"); }), StatusCode::NOT_FOUND);
  EXPECT_EQ(compare([](auto& r) { r.add_variants("nf4"); }), StatusCode::NOT_FOUND);
  EXPECT_EQ(compare([](auto& r) { r.set_reference_variant("nf4"); }), StatusCode::NOT_FOUND);
  EXPECT_EQ(compare([](auto& r) { r.set_max_tokens(0); }), kInvalid);
  EXPECT_EQ(compare([](auto& r) { r.set_max_tokens(4097); }), kInvalid);
  EXPECT_EQ(compare([](auto& r) { r.set_max_tokens(kFakeContext); }), kInvalid);  // the reference has no room
  Probe();
}

TEST_F(BadCalls, TextCallsOfAModelWithoutTokenizer) {
  Start(Defaults());
  grpc::ClientContext c1, c2, c3, c4;
  v1::TokenizeRequest tokenize;
  v1::TokenizeResponse tokens;
  tokenize.set_text("x");
  EXPECT_EQ(inference_->Tokenize(&c1, tokenize, &tokens).error_code(), StatusCode::FAILED_PRECONDITION);
  v1::DetokenizeRequest detokenize;
  v1::DetokenizeResponse text;
  detokenize.add_token_ids(1);
  EXPECT_EQ(inference_->Detokenize(&c2, detokenize, &text).error_code(), StatusCode::FAILED_PRECONDITION);
  v1::ApplyChatTemplateRequest chat;
  v1::ApplyChatTemplateResponse rendered;
  EXPECT_EQ(inference_->ApplyChatTemplate(&c3, chat, &rendered).error_code(), kInvalid);
  tokenize.set_model("x");
  EXPECT_EQ(inference_->Tokenize(&c4, tokenize, &tokens).error_code(), StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace bitrate
