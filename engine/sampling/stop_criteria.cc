#include "engine/sampling/stop_criteria.h"

#include <algorithm>
#include <utility>

namespace bitrate {
namespace {

std::vector<uint32_t> Borders(const std::string& text) {
  std::vector<uint32_t> fail(text.size(), 0);
  for (size_t i = 1; i < text.size(); ++i) {
    uint32_t k = fail[i - 1];
    while (k > 0 && text[i] != text[k]) k = fail[k - 1];
    fail[i] = text[i] == text[k] ? k + 1 : k;
  }
  return fail;
}

}  // namespace

StopMatcher::StopMatcher(const std::vector<std::string>& stops, bool include_stop_str)
    : include_stop_str_(include_stop_str) {
  for (const std::string& stop : stops) patterns_.push_back({stop, Borders(stop), 0});
}

int StopMatcher::Step(char byte) {
  int ended = -1;
  size_t longest = 0;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    Pattern& p = patterns_[i];
    while (p.state > 0 && p.text[p.state] != byte) p.state = p.fail[p.state - 1];
    if (p.text[p.state] == byte) ++p.state;
    if (p.state == p.text.size() && p.state > longest) {
      longest = p.state;
      ended = static_cast<int>(i);
    }
  }
  return ended;
}

size_t StopMatcher::HeldBytes() const {
  size_t held = 0;
  for (const Pattern& p : patterns_) held = std::max(held, p.state);
  return held;
}

std::string StopMatcher::Push(std::string_view piece, bool armed) {
  if (matched()) return {};
  if (!armed || patterns_.empty()) {
    for (Pattern& p : patterns_) p.state = 0;
    std::string out = std::exchange(pending_, {});
    out += piece;
    return out;
  }
  for (size_t i = 0; i < piece.size(); ++i) {
    const int ended = Step(piece[i]);
    if (ended < 0) continue;
    matched_ = ended;
    std::string out = std::exchange(pending_, {});
    out += piece.substr(0, i + 1);
    if (!include_stop_str_) out.resize(out.size() - patterns_[static_cast<size_t>(ended)].text.size());
    return out;
  }
  pending_ += piece;
  const size_t safe = pending_.size() - HeldBytes();
  std::string out = pending_.substr(0, safe);
  pending_.erase(0, safe);
  return out;
}

std::string StopMatcher::Flush() { return std::exchange(pending_, {}); }

}  // namespace bitrate
