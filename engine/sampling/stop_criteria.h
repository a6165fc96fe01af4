// Stop strings over streamed text: decides which text may be sent now, and when generation ends.
//
// The match that ends first wins, whatever the pieces; of several that end there, the longest. Text from the match on
// is never sent (with include_stop_str the match itself is). What could still become the beginning of a stop string is
// held back: the longest suffix that is a proper prefix of one.
//
// Owner: one sequence's delivery. Cost: a few operations a byte and stop string (Knuth, Morris, Pratt). Stop strings
// are valid UTF-8 and pieces hold whole code points, so what is sent does too.
#ifndef BITRATE_ENGINE_SAMPLING_STOP_CRITERIA_H_
#define BITRATE_ENGINE_SAMPLING_STOP_CRITERIA_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitrate {

class StopMatcher {
 public:
  StopMatcher() = default;  // no stop strings: Push returns its piece
  // `stops` as ValidateSampling accepts them (not empty).
  StopMatcher(const std::vector<std::string>& stops, bool include_stop_str);

  // The text that is safe to send after `piece`; nothing after a match. `armed` false (min_tokens not reached) ignores
  // stop strings: everything is safe, and a match cannot begin in this piece.
  std::string Push(std::string_view piece, bool armed = true);

  // The end of the text: what was held back, nothing after a match.
  std::string Flush();

  bool matched() const { return matched_ >= 0; }
  int matched_index() const { return matched_; }  // into `stops`; -1 = none

 private:
  struct Pattern {
    std::string text;
    std::vector<uint32_t> fail;  // [size] length of the longest proper border of text[0 .. i]
    size_t state = 0;            // bytes of `text` that the text so far ends with
  };
  // Feeds one byte; the index of the longest pattern that ends there, or -1.
  int Step(char byte);
  size_t HeldBytes() const;

  std::vector<Pattern> patterns_;
  bool include_stop_str_ = false;
  std::string pending_;  // held back
  int matched_ = -1;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_SAMPLING_STOP_CRITERIA_H_
