#include "server/grpc/convert.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "server/api_error.h"

namespace bitrate {
namespace {

// The two requests are promised to be the same; whoever adds a field to one is told here.
TEST(Convert, BothGenerateRequestsHaveTheSameFields) {
  const auto* one = v1::GenerateRequest::descriptor();
  const auto* other = v1::GenerateStreamRequest::descriptor();
  ASSERT_EQ(one->field_count(), other->field_count());
  for (int i = 0; i < one->field_count(); ++i) {
    const auto* twin = other->FindFieldByNumber(one->field(i)->number());
    ASSERT_NE(twin, nullptr) << one->field(i)->name();
    EXPECT_EQ(twin->name(), one->field(i)->name());
    EXPECT_EQ(twin->type(), one->field(i)->type());
    EXPECT_EQ(twin->message_type() == nullptr ? "" : twin->message_type()->full_name().substr(0, 11),
              one->field(i)->message_type() == nullptr ? "" : one->field(i)->message_type()->full_name().substr(0, 11));
  }
}

TEST(Convert, UnsetMeansTheDefault) {
  v1::GenerateRequest message;
  message.set_text("x");
  GenerationRequest request;
  ASSERT_TRUE(FromProto(message, &request).ok());
  EXPECT_EQ(request.sampling.temperature, 1.0f);
  EXPECT_EQ(request.sampling.top_p, 1.0f);
  EXPECT_FALSE(request.has_seed);
  EXPECT_FALSE(request.stop.max_tokens.has_value());
  EXPECT_EQ(request.logprobs.output_top_n, -1);
  EXPECT_EQ(request.n, 1);
  EXPECT_EQ(request.priority, 1);
  EXPECT_TRUE(request.use_prefix_cache);
}

TEST(Convert, ZeroIsNotUnset) {
  v1::GenerateRequest message;
  message.set_text("x");
  message.mutable_sampling()->set_temperature(0);
  message.mutable_sampling()->set_seed(0);
  message.mutable_stop()->set_max_tokens(0);
  message.mutable_logprobs()->set_output_top_n(0);
  message.set_n(0);
  message.set_priority(0);
  message.set_use_prefix_cache(false);
  GenerationRequest request;
  ASSERT_TRUE(FromProto(message, &request).ok());
  EXPECT_EQ(request.sampling.temperature, 0.0f);
  EXPECT_TRUE(request.has_seed);
  EXPECT_EQ(request.stop.max_tokens, 0);
  EXPECT_EQ(request.logprobs.output_top_n, 0);
  EXPECT_EQ(request.n, 0);
  EXPECT_EQ(request.priority, 0);
  EXPECT_FALSE(request.use_prefix_cache);
}

TEST(Convert, RefusesWhatTheInternalFormCannotSay) {
  GenerationRequest request;
  v1::GenerateRequest message;
  message.mutable_logprobs()->set_output_top_n(-1);
  EXPECT_EQ(GetDetail(FromProto(message, &request)).fields.at(0).field, "logprobs.output_top_n");
  message.Clear();
  message.mutable_queue_limits()->mutable_max_queue_time()->set_seconds(-1);
  EXPECT_EQ(GetDetail(FromProto(message, &request)).fields.at(0).field, "queue_limits.max_queue_time");
  message.Clear();
  message.mutable_constraint()->set_regex("a*");
  EXPECT_EQ(FromProto(message, &request).code(), StatusCode::kUnimplemented);
}

TEST(Convert, DeepTemplateVariablesAreRefused) {
  v1::ChatPrompt chat;
  chat.add_messages()->set_role("user");
  google::protobuf::Struct* level = chat.mutable_template_kwargs();
  for (int i = 0; i < 20; ++i) level = (*level->mutable_fields())["a"].mutable_struct_value();
  EXPECT_TRUE(FromProto(chat).ok());
  for (int i = 0; i < 20; ++i) level = (*level->mutable_fields())["a"].mutable_struct_value();
  EXPECT_EQ(FromProto(chat).status().code(), StatusCode::kInvalidArgument);
}

TEST(Convert, TemplateVariablesKeepTheirTypes) {
  v1::ChatPrompt chat;
  auto& fields = *chat.mutable_template_kwargs()->mutable_fields();
  fields["on"].set_bool_value(true);
  fields["n"].set_number_value(3);
  fields["x"].set_number_value(0.5);
  fields["list"].mutable_list_value()->add_values()->set_string_value("a");
  const auto request = FromProto(chat);
  ASSERT_TRUE(request.ok());
  EXPECT_TRUE(request->kwargs["n"].is_number_integer());
  EXPECT_EQ(request->kwargs.dump(), R"({"list":["a"],"n":3,"on":true,"x":0.5})");
}

TEST(Convert, UnitOfTheMetadataIsTheSecondChoice) {
  v1::ModelSelector selector;
  EXPECT_EQ(FromProto(selector, "meta").unit, "meta");
  selector.mutable_routing()->set_unit_id("own");
  EXPECT_EQ(FromProto(selector, "meta").unit, "own");
}

TEST(Convert, FailedVariantsDoNotNameFilesInPublic) {
  VariantSnapshot variant;
  variant.model = "m";
  variant.state = VariantState::kFailed;
  variant.error = DataLoss("/secret/place/model.gguf: truncated");
  v1::Variant message;
  ToProto(variant, /*public_view=*/true, &message);
  EXPECT_EQ(message.ShortDebugString().find("secret"), std::string::npos);
  EXPECT_EQ(message.error().code(), 15);
  ToProto(variant, /*public_view=*/false, &message);
  EXPECT_NE(message.error().message().find("secret"), std::string::npos);
}

TEST(Convert, DurationsAndMoney) {
  RequestTotals totals;
  totals.queue_seconds = 1.25;
  totals.marginal = {0, 1500};
  v1::Timing timing;
  ToProto(totals, &timing);
  EXPECT_EQ(timing.queue().seconds(), 1);
  EXPECT_EQ(timing.queue().nanos(), 250'000'000);
  EXPECT_FALSE(timing.has_time_to_first_token());
  v1::Cost cost;
  ToProto(totals, Prices{}, &cost);
  EXPECT_TRUE(cost.currency_code().empty());
  ToProto(totals, Prices{.currency = "USD", .pricing_version = "v"}, &cost);
  EXPECT_EQ(cost.nanos(), 1500);
  EXPECT_EQ(cost.pricing_version(), "v");
  EXPECT_FALSE(cost.has_fully_loaded());
}

TEST(Convert, PolicyRoundTrip) {
  const RoutingPolicy policy = {{{"m", "e", "s", {{"a", "v", 4000}, {"b", "w", 6000}}, {"v"}}}};
  v1::RoutingPolicy message;
  ToProto(policy, &message);
  EXPECT_EQ(FromProto(message), policy);
}

}  // namespace
}  // namespace bitrate
