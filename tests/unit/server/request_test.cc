// Bad values of the internal request (reliability corpus B1): each names its field.
#include <gtest/gtest.h>

#include <functional>

#include "engine/base/limits.h"
#include "server/api_error.h"
#include "server/generation_request.h"

namespace bitrate {
namespace {

struct Case {
  const char* name;
  std::function<void(GenerationRequest&)> change;
  const char* field;  // null: good
};

class RequestTable : public testing::TestWithParam<Case> {};

TEST_P(RequestTable, NamesTheField) {
  GenerationRequest request;
  request.prompt = std::vector<int32_t>{1};
  request.context.request_id = "r";
  GetParam().change(request);
  Status status = ValidateTarget(request.target, request.context);
  if (status.ok()) status = ValidateRequest(request);
  if (GetParam().field == nullptr) {
    EXPECT_TRUE(status.ok()) << status;
    return;
  }
  ASSERT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(GetDetail(status).fields.at(0).field, GetParam().field) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Bad, RequestTable,
    testing::Values(
        Case{"good", [](auto&) {}, nullptr}, Case{"no_prompt", [](auto& r) { r.prompt = std::monostate(); }, "prompt"},
        Case{"empty_text", [](auto& r) { r.prompt = std::string(); }, "text"},
        Case{"text_at_limit", [](auto& r) { r.prompt = std::string(limits::kMaxTokenizeBytes, 'a'); }, nullptr},
        Case{"text_too_long", [](auto& r) { r.prompt = std::string(limits::kMaxTokenizeBytes + 1, 'a'); }, "text"},
        Case{"no_ids", [](auto& r) { r.prompt = std::vector<int32_t>(); }, "token_ids"},
        Case{"no_messages", [](auto& r) { r.prompt = ChatRequest(); }, "chat.messages"},
        Case{"no_role",
             [](auto& r) {
               ChatRequest chat;
               chat.messages.resize(2);
               chat.messages[0].role = "user";
               r.prompt = chat;
             },
             "chat.messages[1].role"},
        Case{"too_many_messages",
             [](auto& r) {
               ChatRequest chat;
               chat.messages.resize(limits::kMaxMessages + 1, {"user", "x", "", "", ""});
               r.prompt = chat;
             },
             "chat.messages"},
        Case{"n_zero", [](auto& r) { r.n = 0; }, "n"}, Case{"n_negative", [](auto& r) { r.n = -1; }, "n"},
        Case{"n_at_limit", [](auto& r) { r.n = limits::kMaxChoices; }, nullptr},
        Case{"n_over", [](auto& r) { r.n = limits::kMaxChoices + 1; }, "n"},
        Case{"n_huge", [](auto& r) { r.n = int64_t{1} << 31; }, "n"},
        Case{"priority_low", [](auto& r) { r.priority = -1; }, "priority"},
        Case{"priority_high", [](auto& r) { r.priority = 4; }, "priority"},
        Case{"queue_time_zero", [](auto& r) { r.max_queue_time = Duration::zero(); }, "queue_limits.max_queue_time"},
        Case{"labels_at_limit",
             [](auto& r) {
               for (int i = 0; i < limits::kMaxLabels; ++i) r.labels[std::to_string(i)] = "v";
             },
             nullptr},
        Case{"labels_over",
             [](auto& r) {
               for (int i = 0; i <= limits::kMaxLabels; ++i) r.labels[std::to_string(i)] = "v";
             },
             "labels"},
        Case{"label_value_long", [](auto& r) { r.labels["k"] = std::string(257, 'v'); }, "labels"},
        Case{"salt_long", [](auto& r) { r.cache_salt = std::string(257, 's'); }, "cache_salt"},
        Case{"request_id_at_limit", [](auto& r) { r.context.request_id = std::string(256, 'i'); }, nullptr},
        Case{"request_id_long", [](auto& r) { r.context.request_id = std::string(257, 'i'); }, "request_id"},
        Case{"request_id_control", [](auto& r) { r.context.request_id = "a\nb"; }, "request_id"},
        Case{"model_nul", [](auto& r) { r.target.model = std::string("a\0b", 3); }, "model.model"},
        Case{"variant_long", [](auto& r) { r.target.variant = std::string(4096, 'v'); }, "model.variant"},
        Case{"unit_long", [](auto& r) { r.target.unit = std::string(257, 'u'); }, "model.routing.unit_id"},
        Case{"experiment_control", [](auto& r) { r.target.experiment = "\x01"; }, "model.routing.experiment"}),
    [](const auto& info) { return info.param.name; });

TEST(Request, EveryProblemAtOnce) {
  GenerationRequest request;
  request.n = 0;
  request.priority = 99;
  EXPECT_EQ(GetDetail(ValidateRequest(request)).fields.size(), 3u);  // prompt, n, priority
}

}  // namespace
}  // namespace bitrate
