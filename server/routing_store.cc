#include "server/routing_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "server/api_error.h"

namespace bitrate {
namespace {

// The etag names the content, so that a policy restored has the etag it had.
std::string EtagOf(const RoutingPolicy& policy) {
  uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : PolicyToJson(policy)) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return fmt::format("{:016x}", h);
}

Status PolicyErrors(const std::vector<PolicyProblem>& problems) {
  std::vector<FieldViolation> fields;
  for (const PolicyProblem& problem : problems) fields.push_back({"policy." + problem.field, problem.description});
  return FieldErrors(std::move(fields));
}

Status WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n <= 0) return Unavailable("cannot write the state file");
    text.remove_prefix(static_cast<size_t>(n));
  }
  return ::fsync(fd) == 0 ? OkStatus() : Unavailable("cannot write the state file to disk");
}

StatusOr<RoutingRule> RuleFromJson(const nlohmann::json& json) {
  RoutingRule rule;
  ASSIGN_OR_RETURN(rule.model, GetString(json, "model"));
  ASSIGN_OR_RETURN(rule.experiment, GetString(json, "experiment"));
  ASSIGN_OR_RETURN(rule.salt, GetString(json, "salt"));
  ASSIGN_OR_RETURN(const nlohmann::json* arms, GetArray(json, "arms"));
  for (const nlohmann::json& item : *arms) {
    RoutingArm arm;
    ASSIGN_OR_RETURN(arm.name, GetString(item, "name"));
    ASSIGN_OR_RETURN(arm.variant, GetString(item, "variant"));
    ASSIGN_OR_RETURN(const int64_t weight, GetIntInRange(item, "weight", 0, kBasisPoints));
    arm.weight = static_cast<int>(weight);
    rule.arms.push_back(std::move(arm));
  }
  ASSIGN_OR_RETURN(const nlohmann::json* fallback, GetArray(json, "fallback"));
  for (const nlohmann::json& item : *fallback) {
    if (!item.is_string()) return InvalidArgument("fallback: wanted names");
    rule.fallback.push_back(item.get<std::string>());
  }
  return rule;
}

}  // namespace

std::string PolicyToJson(const RoutingPolicy& policy) {
  nlohmann::json json;
  json["rules"] = nlohmann::json::array();
  for (const RoutingRule& rule : policy.rules) {
    nlohmann::json arms = nlohmann::json::array();
    for (const RoutingArm& arm : rule.arms) {
      arms.push_back({{"name", arm.name}, {"variant", arm.variant}, {"weight", arm.weight}});
    }
    json["rules"].push_back({{"model", rule.model},
                             {"experiment", rule.experiment},
                             {"salt", rule.salt},
                             {"arms", std::move(arms)},
                             {"fallback", rule.fallback}});
  }
  return JsonToText(json);
}

StatusOr<RoutingPolicy> PolicyFromJson(std::string_view text) {
  if (text.size() > limits::kMaxConfigBytes) return InvalidArgument("state file: larger than 4 MiB");
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, "state file"));
  ASSIGN_OR_RETURN(const nlohmann::json* rules, GetArray(json, "rules"));
  RoutingPolicy policy;
  for (const nlohmann::json& item : *rules) {
    ASSIGN_OR_RETURN(RoutingRule rule, RuleFromJson(item));
    policy.rules.push_back(std::move(rule));
  }
  return policy;
}

RoutingStore::RoutingStore(RoutingPolicy initial, std::string state_file, ModelsFn models)
    : state_file_(std::move(state_file)), models_(std::move(models)), current_(MakeSnapshot(std::move(initial))) {}

std::shared_ptr<const RoutingSnapshot> RoutingStore::MakeSnapshot(RoutingPolicy policy) const {
  auto snapshot = std::make_shared<RoutingSnapshot>();
  snapshot->etag = EtagOf(policy);
  snapshot->policy = std::move(policy);
  return snapshot;
}

Status RoutingStore::LoadState() {
  if (state_file_.empty()) return OkStatus();
  std::ifstream in(state_file_, std::ios::binary);
  if (!in) return OkStatus();
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  auto policy = PolicyFromJson(text);
  if (!policy.ok()) return Annotate(policy.status(), state_file_);
  RETURN_IF_ERROR(Annotate(PolicyErrors(ValidatePolicy(models_(), *policy)), state_file_));
  auto snapshot = MakeSnapshot(*std::move(policy));
  MutexLock lock(&mutex_);
  if (snapshot->etag == current_->etag) return OkStatus();
  history_.push_front({current_, std::chrono::system_clock::now()});
  current_ = std::move(snapshot);
  return OkStatus();
}

std::shared_ptr<const RoutingSnapshot> RoutingStore::Current() const {
  MutexLock lock(&mutex_);
  return current_;
}

std::vector<RoutingHistoryEntry> RoutingStore::History() const {
  MutexLock lock(&mutex_);
  return {history_.begin(), history_.end()};
}

StatusOr<std::shared_ptr<const RoutingSnapshot>> RoutingStore::Update(RoutingPolicy policy, std::string_view etag) {
  RETURN_IF_ERROR(PolicyErrors(ValidatePolicy(models_(), policy)));
  auto next = MakeSnapshot(std::move(policy));
  MutexLock lock(&mutex_);
  if (!etag.empty() && etag != current_->etag) {
    return WithDetail(Aborted("etag: got \"{}\", the policy in force is \"{}\"", etag, current_->etag),
                      {.reason = "ETAG_MISMATCH"});
  }
  RETURN_IF_ERROR(Swap(next));
  return next;
}

StatusOr<std::shared_ptr<const RoutingSnapshot>> RoutingStore::Restore(std::string_view etag) {
  const std::vector<RoutableModel> models = models_();
  MutexLock lock(&mutex_);
  for (const RoutingHistoryEntry& entry : history_) {
    if (!etag.empty() && entry.snapshot->etag != etag) continue;
    auto snapshot = entry.snapshot;
    RoutingPolicy policy = snapshot->policy;  // may name a variant that is gone since
    RETURN_IF_ERROR(PolicyErrors(ValidatePolicy(models, policy)));
    RETURN_IF_ERROR(Swap(snapshot));
    return snapshot;
  }
  return WithDetail(
      NotFound("the history has no routing policy \"{}\"", etag),
      {.reason = "POLICY_NOT_FOUND", .resource_type = "bitrate.v1.RoutingPolicy", .resource_name = std::string(etag)});
}

// The file first: a policy that is in force has been kept.
Status RoutingStore::Swap(std::shared_ptr<const RoutingSnapshot> next) {
  if (next->etag == current_->etag) return OkStatus();
  RETURN_IF_ERROR(WriteState(*next));
  history_.push_front({current_, std::chrono::system_clock::now()});
  if (history_.size() > kMaxHistory) history_.pop_back();
  current_ = std::move(next);
  return OkStatus();
}

Status RoutingStore::WriteState(const RoutingSnapshot& snapshot) const {
  if (state_file_.empty()) return OkStatus();
  const std::string temporary = state_file_ + ".tmp";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  // No path in the message: it goes to whoever called.
  if (fd < 0) return Unavailable("cannot open the state file");
  Status written = WriteAll(fd, PolicyToJson(snapshot.policy));
  ::close(fd);
  if (written.ok() && std::rename(temporary.c_str(), state_file_.c_str()) != 0) {
    written = Unavailable("cannot replace the state file");
  }
  if (!written.ok()) ::unlink(temporary.c_str());
  return written;
}

}  // namespace bitrate
