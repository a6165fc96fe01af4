// Messages -> internal types.
#include <google/protobuf/struct.pb.h>

#include "engine/base/limits.h"
#include "server/api_error.h"
#include "server/grpc/call_info.h"
#include "server/grpc/convert.h"

namespace bitrate {
namespace {

constexpr int kMaxStructDepth = 32;  // protobuf itself stops at 100

nlohmann::json ToJson(const google::protobuf::Value& value, int depth) {
  using google::protobuf::Value;
  if (depth > kMaxStructDepth) return nullptr;
  switch (value.kind_case()) {
    case Value::kNumberValue:
      // Templates compare with integers; 3.0 and 3 are one number in a Struct.
      if (value.number_value() == static_cast<double>(static_cast<int64_t>(value.number_value())) &&
          std::abs(value.number_value()) < 9e15) {
        return static_cast<int64_t>(value.number_value());
      }
      return value.number_value();
    case Value::kStringValue:
      return value.string_value();
    case Value::kBoolValue:
      return value.bool_value();
    case Value::kStructValue: {
      nlohmann::json object = nlohmann::json::object();
      for (const auto& [key, item] : value.struct_value().fields()) object[key] = ToJson(item, depth + 1);
      return object;
    }
    case Value::kListValue: {
      nlohmann::json list = nlohmann::json::array();
      for (const auto& item : value.list_value().values()) list.push_back(ToJson(item, depth + 1));
      return list;
    }
    default:
      return nullptr;
  }
}

int DepthOf(const google::protobuf::Value& value, int depth);

int DepthOf(const google::protobuf::Struct& object, int depth) {
  int deepest = depth;
  for (const auto& [key, item] : object.fields()) deepest = std::max(deepest, DepthOf(item, depth + 1));
  return deepest;
}

int DepthOf(const google::protobuf::Value& value, int depth) {
  int deepest = depth;
  if (value.has_struct_value()) return DepthOf(value.struct_value(), depth);
  for (const auto& item : value.list_value().values()) deepest = std::max(deepest, DepthOf(item, depth + 1));
  return deepest;
}

void FromSampling(const v1::SamplingParams& in, GenerationRequest* out) {
  SamplingParams& p = out->sampling;
  if (in.has_temperature()) p.temperature = in.temperature();
  if (in.has_top_p()) p.top_p = in.top_p();
  if (in.has_top_k()) p.top_k = in.top_k();
  if (in.has_min_p()) p.min_p = in.min_p();
  if (in.has_repetition_penalty()) p.repetition_penalty = in.repetition_penalty();
  if (in.has_presence_penalty()) p.presence_penalty = in.presence_penalty();
  if (in.has_frequency_penalty()) p.frequency_penalty = in.frequency_penalty();
  out->has_seed = in.has_seed();
  if (in.has_seed()) p.seed = in.seed();
  for (const v1::LogitBias& bias : in.logit_bias()) p.logit_bias.emplace_back(bias.token_id(), bias.bias());
}

void FromStop(const v1::StopParams& in, StopParams* out) {
  if (in.has_max_tokens()) out->max_tokens = in.max_tokens();
  out->min_tokens = in.min_tokens();
  out->stop.assign(in.stop().begin(), in.stop().end());
  out->stop_token_ids.assign(in.stop_token_ids().begin(), in.stop_token_ids().end());
  out->ignore_eos = in.ignore_eos();
  out->include_stop_str = in.include_stop_str();
}

// The engine's -1 means "none"; from a client it is an error.
Status FromLogprobs(const v1::LogprobParams& in, LogprobParams* out) {
  if (in.has_output_top_n() && in.output_top_n() < 0) {
    return FieldError("logprobs.output_top_n",
                      fmt::format("got {}, wanted 0 to {}", in.output_top_n(), limits::kMaxTopLogprobs));
  }
  if (in.has_prompt_top_n() && in.prompt_top_n() < 0) {
    return FieldError("logprobs.prompt_top_n",
                      fmt::format("got {}, wanted 0 to {}", in.prompt_top_n(), limits::kMaxTopLogprobs));
  }
  if (in.has_output_top_n()) out->output_top_n = in.output_top_n();
  if (in.has_prompt_top_n()) out->prompt_top_n = in.prompt_top_n();
  return OkStatus();
}

Status FromQueueLimits(const v1::QueueLimits& in, std::optional<Duration>* out) {
  if (!in.has_max_queue_time()) return OkStatus();
  const auto& d = in.max_queue_time();
  constexpr int64_t kMaxSeconds = 86400;
  if (d.seconds() < 0 || d.nanos() < 0 || d.nanos() > 999'999'999 || d.seconds() > kMaxSeconds) {
    return FieldError("queue_limits.max_queue_time", fmt::format("wanted 0 to {} seconds", kMaxSeconds));
  }
  *out = std::chrono::seconds(d.seconds()) + std::chrono::nanoseconds(d.nanos());
  return OkStatus();
}

template <typename Request>
Status Convert(const Request& in, GenerationRequest* out) {
  if (in.constraint().constraint_case() != v1::Constraint::CONSTRAINT_NOT_SET) {
    return WithDetail(Unimplemented("constraint: constrained generation is not built yet"),
                      {.reason = "NOT_IMPLEMENTED"});
  }
  switch (in.prompt_case()) {
    case Request::kText:
      out->prompt = in.text();
      break;
    case Request::kTokenIds:
      out->prompt = std::vector<int32_t>(in.token_ids().ids().begin(), in.token_ids().ids().end());
      break;
    case Request::kChat: {
      ASSIGN_OR_RETURN(out->prompt, FromProto(in.chat()));
      break;
    }
    default:
      break;  // ValidateRequest says so
  }
  FromSampling(in.sampling(), out);
  FromStop(in.stop(), &out->stop);
  RETURN_IF_ERROR(FromLogprobs(in.logprobs(), &out->logprobs));
  RETURN_IF_ERROR(FromQueueLimits(in.queue_limits(), &out->max_queue_time));
  if (in.has_n()) out->n = in.n();
  if (in.has_priority()) out->priority = in.priority();
  out->labels.insert(in.labels().begin(), in.labels().end());
  if (in.has_add_special_tokens()) out->add_special_tokens = in.add_special_tokens();
  out->cache_salt = in.cache_salt();
  if (in.has_use_prefix_cache()) out->use_prefix_cache = in.use_prefix_cache();
  return OkStatus();
}

}  // namespace

Status FromProto(const v1::GenerateRequest& in, GenerationRequest* out) { return Convert(in, out); }
Status FromProto(const v1::GenerateStreamRequest& in, GenerationRequest* out) { return Convert(in, out); }

StatusOr<ChatRequest> FromProto(const v1::ChatPrompt& in) {
  ChatRequest chat;
  for (const v1::ChatMessage& message : in.messages()) {
    chat.messages.push_back(
        {message.role(), message.content(), message.name(), message.tool_calls_json(), message.tool_call_id()});
  }
  chat.tools_json = in.tools_json();
  if (in.has_template_kwargs()) {
    if (DepthOf(in.template_kwargs(), 0) >= kMaxStructDepth) {
      return FieldError("chat.template_kwargs", fmt::format("nested deeper than {}", kMaxStructDepth));
    }
    google::protobuf::Value root;
    *root.mutable_struct_value() = in.template_kwargs();
    chat.kwargs = ToJson(root, 0);
  }
  if (in.has_add_generation_prompt()) chat.add_generation_prompt = in.add_generation_prompt();
  return chat;
}

RequestTarget FromProto(const v1::ModelSelector& in, const std::string& metadata_unit) {
  RequestTarget target;
  target.model = in.model();
  target.variant = in.variant();
  target.experiment = in.routing().experiment();
  target.unit = in.routing().unit_id().empty() ? metadata_unit : in.routing().unit_id();
  return target;
}

RoutingPolicy FromProto(const v1::RoutingPolicy& in) {
  RoutingPolicy policy;
  for (const v1::RoutingRule& rule_in : in.rules()) {
    RoutingRule rule{rule_in.model(), rule_in.experiment(), rule_in.salt(), {}, {}};
    for (const v1::RoutingArm& arm : rule_in.arms()) rule.arms.push_back({arm.name(), arm.variant(), arm.weight()});
    rule.fallback.assign(rule_in.fallback().begin(), rule_in.fallback().end());
    policy.rules.push_back(std::move(rule));
  }
  return policy;
}

}  // namespace bitrate
