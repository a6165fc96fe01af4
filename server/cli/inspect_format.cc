// InspectReport as JSON and as text.
#include <fmt/format.h>

#include "server/cli/inspect_report.h"

namespace bitrate {
namespace {

using nlohmann::ordered_json;

const char* RopeName(RopeConfig::Kind kind) {
  switch (kind) {
    case RopeConfig::Kind::kDefault:
      return "default";
    case RopeConfig::Kind::kLinear:
      return "linear";
    case RopeConfig::Kind::kLlama3:
      return "llama3";
    case RopeConfig::Kind::kYarn:
      return "yarn";
    case RopeConfig::Kind::kFactors:
      return "factors";
    case RopeConfig::Kind::kLongRope:
      return "longrope";
  }
  return "?";
}

ordered_json ConfigJson(const ModelConfig& c) {
  return {{"vocab_size", c.vocab_size},
          {"hidden_size", c.hidden_size},
          {"intermediate_size", c.intermediate_size},
          {"num_layers", c.num_layers},
          {"num_heads", c.num_heads},
          {"num_kv_heads", c.num_kv_heads},
          {"head_dim", c.head_dim},
          {"max_positions", c.max_positions},
          {"tie_word_embeddings", c.tie_word_embeddings},
          {"attention_bias", c.attention_bias},
          {"mlp_bias", c.mlp_bias},
          {"sliding_window", c.sliding_window},
          {"rope", {{"type", RopeName(c.rope.kind)}, {"theta", c.rope.theta}, {"factor", c.rope.factor}}},
          {"bos_id", c.bos_id},
          {"eos_ids", c.eos_ids}};
}

std::string Megabytes(uint64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

}  // namespace

ordered_json ToJson(const InspectReport& r) {
  ordered_json types = ordered_json::array();
  for (const TensorTypeCount& t : r.types) {
    types.push_back({{"type", t.type}, {"tensors", t.tensors}, {"elements", t.elements}, {"bytes", t.bytes}});
  }
  ordered_json plans = ordered_json::array();
  for (const RunPlan& p : r.plans) {
    ordered_json plan = {{"precision", p.precision}, {"weight_bytes_estimate", p.weight_bytes}};
    if (p.error.empty()) {
      plan.update({{"weight_bits", p.weight_bits},
                   {"activations", p.activations},
                   {"kernel", p.kernel},
                   {"prefill_kernel", p.prefill_kernel},
                   {"isa", p.isa},
                   {"refusals", p.refusals}});
    } else {
      plan["error"] = p.error;
    }
    plans.push_back(std::move(plan));
  }
  return {{"path", r.path},
          {"format", r.format},
          {"architecture", r.architecture},
          {"supported", r.unsupported.empty()},
          {"reason", r.unsupported.empty() ? ordered_json() : ordered_json(r.unsupported)},
          {"config", r.config ? ConfigJson(*r.config) : ordered_json()},
          {"tensors", {{"count", r.num_tensors}, {"parameters", r.parameters}, {"bytes", r.bytes}, {"by_type", types}}},
          {"bits_per_weight", r.bits_per_weight},
          {"tokenizer", r.tokenizer},
          {"chat_template", r.has_chat_template},
          {"runs", std::move(plans)}};
}

std::string ToText(const InspectReport& r) {
  std::string out;
  auto at = std::back_inserter(out);
  fmt::format_to(at, "path          {}\nformat        {}\narchitecture  {}\n", r.path, r.format, r.architecture);
  if (r.config) {
    const ModelConfig& c = *r.config;
    fmt::format_to(at, "shape         {} layers, hidden {}, intermediate {}, {} heads of {} ({} KV), vocabulary {}\n",
                   c.num_layers, c.hidden_size, c.intermediate_size, c.num_heads, c.head_dim, c.num_kv_heads,
                   c.vocab_size);
    fmt::format_to(at, "context       {} tokens, rope {} (theta {:g}), embeddings {}\n", c.max_positions,
                   RopeName(c.rope.kind), c.rope.theta, c.tie_word_embeddings ? "tied" : "separate");
  }
  fmt::format_to(at, "text          tokenizer {}, chat template {}\n", r.tokenizer, r.has_chat_template ? "yes" : "no");
  fmt::format_to(at, "weights       {:.1f} M parameters in {} tensors, {}, {:.2f} bits a weight\n",
                 static_cast<double>(r.parameters) / 1e6, r.num_tensors, Megabytes(r.bytes), r.bits_per_weight);
  fmt::format_to(at, "\n{:<10} {:>8} {:>14} {:>12}\n", "type", "tensors", "elements", "size");
  for (const TensorTypeCount& t : r.types) {
    fmt::format_to(at, "{:<10} {:>8} {:>14} {:>12}\n", t.type, t.tensors, t.elements, Megabytes(t.bytes));
  }
  if (!r.unsupported.empty()) {
    fmt::format_to(at, "\nDoes not run here: {}\n", r.unsupported);
    return out;
  }
  fmt::format_to(at, "\n{:<14} {:>6} {:>11}  {:<12} {:<28} {}\n", "precision", "bits", "memory", "activations",
                 "decode", "prefill");
  for (const RunPlan& p : r.plans) {
    if (!p.error.empty()) {
      fmt::format_to(at, "{:<14} does not run: {}\n", p.precision, p.error);
      continue;
    }
    fmt::format_to(at, "{:<14} {:>6.2f} {:>11}  {:<12} {:<28} {}\n", p.precision, p.weight_bits,
                   Megabytes(p.weight_bytes), p.activations, p.kernel, p.prefill_kernel);
  }
  return out;
}

}  // namespace bitrate
