#include "engine/sampling/stop_criteria.h"

#include <gtest/gtest.h>

#include <random>

namespace bitrate {
namespace {

struct Outcome {
  std::string text;
  int matched = -1;
};

Outcome Feed(const std::vector<std::string>& stops, const std::vector<std::string>& pieces, bool include = false) {
  StopMatcher matcher(stops, include);
  Outcome outcome;
  for (const std::string& piece : pieces) outcome.text += matcher.Push(piece);
  outcome.text += matcher.Flush();
  outcome.matched = matcher.matched_index();
  return outcome;
}

// The definition, by search: the earliest end, then the longest.
Outcome Reference(const std::vector<std::string>& stops, const std::string& text, bool include) {
  for (size_t end = 1; end <= text.size(); ++end) {
    Outcome best;
    size_t longest = 0;
    for (size_t i = 0; i < stops.size(); ++i) {
      if (stops[i].size() <= longest || stops[i].size() > end) continue;
      if (text.compare(end - stops[i].size(), stops[i].size(), stops[i]) != 0) continue;
      longest = stops[i].size();
      best.matched = static_cast<int>(i);
    }
    if (longest == 0) continue;
    best.text = text.substr(0, include ? end : end - longest);
    return best;
  }
  return {text, -1};
}

TEST(StopMatcher, NoStopsPassThrough) {
  StopMatcher matcher;
  EXPECT_EQ(matcher.Push("hello"), "hello");
  EXPECT_EQ(matcher.Flush(), "");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, StraddlesPieces) {
  StopMatcher matcher({"STOP"}, false);
  EXPECT_EQ(matcher.Push("one S"), "one ");
  EXPECT_EQ(matcher.Push("TO"), "");
  EXPECT_EQ(matcher.Push("P two"), "");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.Push("more"), "");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcher, HeldBackTextComesOutWhenItWasNoStop) {
  StopMatcher matcher({"STOP"}, false);
  EXPECT_EQ(matcher.Push("ST"), "");
  EXPECT_EQ(matcher.Push("OOL"), "STOOL");
  EXPECT_EQ(matcher.Push(" S"), " ");
  EXPECT_EQ(matcher.Flush(), "S");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, FallsBackToAShorterBorder) {
  EXPECT_EQ(Feed({"aab"}, {"a", "a", "a", "b", "c"}).text, "a");
  EXPECT_EQ(Feed({"abcabd"}, {"abcabc", "abd!"}).text, "abc");
}

TEST(StopMatcher, OverlappingStops) {
  // "b" ends first, also when one piece holds both; of two that end together the longer wins.
  for (const auto& pieces : std::vector<std::vector<std::string>>{{"xabc"}, {"xa", "bc"}, {"x", "a", "b", "c"}}) {
    const Outcome outcome = Feed({"abc", "b"}, pieces);
    EXPECT_EQ(outcome.text, "xa");
    EXPECT_EQ(outcome.matched, 1);
  }
  const Outcome both = Feed({"c", "abc"}, {"xab", "cd"});
  EXPECT_EQ(both.text, "x");
  EXPECT_EQ(both.matched, 1);
}

TEST(StopMatcher, IncludesTheStopString) {
  const Outcome outcome = Feed({"\n\n"}, {"a\n", "\nb"}, true);
  EXPECT_EQ(outcome.text, "a\n\n");
  EXPECT_EQ(outcome.matched, 0);
}

TEST(StopMatcher, MatchAtTheVeryStartSendsNothing) { EXPECT_EQ(Feed({"hi"}, {"hi there"}).text, ""); }

TEST(StopMatcher, UnarmedIgnoresStopsAndDoesNotRemember) {
  StopMatcher matcher({"STOP"}, false);
  EXPECT_EQ(matcher.Push("a STOP b ST", false), "a STOP b ST");
  EXPECT_EQ(matcher.Push("OP"), "OP");
  EXPECT_EQ(matcher.Push(" STOP"), " ");
  EXPECT_TRUE(matcher.matched());
}

TEST(StopMatcher, HoldsWholeCodePoints) {
  // U+00E9 and U+00E8 share their first byte: nothing may be cut between the two bytes of one.
  StopMatcher matcher({"\xC3\xA9!"}, false);
  EXPECT_EQ(matcher.Push("caf\xC3\xA8"), "caf\xC3\xA8");
  EXPECT_EQ(matcher.Push("caf\xC3\xA9"), "caf");
  EXPECT_EQ(matcher.Push("?"), "\xC3\xA9?");
  EXPECT_EQ(matcher.Push("\xC3\xA9!"), "");
  EXPECT_TRUE(matcher.matched());
}

TEST(StopMatcher, AgreesWithTheDefinitionWhateverThePieces) {
  std::mt19937 random(11);
  const auto word = [&](size_t low, size_t high) {
    std::string text(low + random() % (high - low + 1), 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = 0; i <= random() % 3; ++i) stops.push_back(word(2, 6));
    const std::string text = word(0, 30);
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      pieces.push_back(text.substr(at, 1 + random() % 5));
      at += pieces.back().size();
    }
    const bool include = random() % 2 == 0;
    const Outcome wanted = Reference(stops, text, include), got = Feed(stops, pieces, include);
    ASSERT_EQ(got.text, wanted.text) << text;
    ASSERT_EQ(got.matched, wanted.matched) << text;
  }
}

}  // namespace
}  // namespace bitrate
