#include "server/generation_request.h"

#include <algorithm>

#include "engine/base/limits.h"
#include "server/api_error.h"

namespace bitrate {
namespace {

void Check(bool good, std::string_view field, std::string description, std::vector<FieldViolation>& fields) {
  if (!good) fields.push_back({std::string(field), std::move(description)});
}

void CheckId(std::string_view field, std::string_view id, std::vector<FieldViolation>& fields) {
  const Status status = ValidateId(field, id);
  if (!status.ok()) {
    for (FieldViolation& violation : GetDetail(status).fields) fields.push_back(std::move(violation));
  }
}

void CheckChat(const ChatRequest& chat, std::vector<FieldViolation>& fields) {
  Check(!chat.messages.empty(), "chat.messages", "got none, wanted at least one message", fields);
  Check(chat.messages.size() <= static_cast<size_t>(limits::kMaxMessages), "chat.messages",
        fmt::format("got {}, wanted at most {}", chat.messages.size(), limits::kMaxMessages), fields);
  for (size_t i = 0; i < chat.messages.size() && i < static_cast<size_t>(limits::kMaxMessages); ++i) {
    const std::string path = fmt::format("chat.messages[{}].role", i);
    Check(!chat.messages[i].role.empty(), path, "got nothing, wanted a role", fields);
    Check(chat.messages[i].role.size() <= limits::kMaxIdBytes, path, "longer than 256 bytes", fields);
  }
}

void CheckPrompt(const Prompt& prompt, std::vector<FieldViolation>& fields) {
  if (std::holds_alternative<std::monostate>(prompt)) {
    fields.push_back({"prompt", "got nothing, wanted text, token_ids or chat"});
  } else if (const auto* text = std::get_if<std::string>(&prompt)) {
    Check(!text->empty(), "text", "got an empty text, wanted at least one character", fields);
    Check(text->size() <= limits::kMaxTokenizeBytes, "text", "longer than 16 MiB", fields);
  } else if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
    Check(!ids->empty(), "token_ids", "got none, wanted at least one id", fields);
  } else if (const auto* chat = std::get_if<ChatRequest>(&prompt)) {
    CheckChat(*chat, fields);
  }
}

}  // namespace

Status ValidateId(std::string_view field, std::string_view id) {
  if (id.size() > limits::kMaxIdBytes) {
    return FieldError(field, fmt::format("got {} bytes, wanted at most {}", id.size(), limits::kMaxIdBytes));
  }
  const bool printable = std::all_of(id.begin(), id.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  return printable ? OkStatus() : FieldError(field, "wanted printable ASCII characters");
}

Status ValidateTarget(const RequestTarget& target, const RequestContext& context) {
  std::vector<FieldViolation> fields;
  CheckId("request_id", context.request_id, fields);
  CheckId("model.model", target.model, fields);
  CheckId("model.variant", target.variant, fields);
  CheckId("model.routing.experiment", target.experiment, fields);
  Check(target.unit.size() <= limits::kMaxIdBytes, "model.routing.unit_id", "longer than 256 bytes", fields);
  return FieldErrors(std::move(fields));
}

Status ValidateRequest(const GenerationRequest& request) {
  std::vector<FieldViolation> fields;
  CheckPrompt(request.prompt, fields);
  Check(request.n >= 1 && request.n <= limits::kMaxChoices, "n",
        fmt::format("got {}, wanted 1 to {}", request.n, limits::kMaxChoices), fields);
  Check(request.priority >= 0 && request.priority <= limits::kMaxPriority, "priority",
        fmt::format("got {}, wanted 0 to {}", request.priority, limits::kMaxPriority), fields);
  Check(!request.max_queue_time || *request.max_queue_time > Duration::zero(), "queue_limits.max_queue_time",
        "wanted more than zero", fields);
  Check(request.labels.size() <= static_cast<size_t>(limits::kMaxLabels), "labels",
        fmt::format("got {}, wanted at most {}", request.labels.size(), limits::kMaxLabels), fields);
  for (const auto& [key, value] : request.labels) {
    CheckId("labels", key, fields);
    Check(value.size() <= limits::kMaxIdBytes, "labels", "a value is longer than 256 bytes", fields);
    if (fields.size() > 16) break;
  }
  Check(request.cache_salt.size() <= limits::kMaxIdBytes, "cache_salt", "longer than 256 bytes", fields);
  return FieldErrors(std::move(fields));
}

}  // namespace bitrate
