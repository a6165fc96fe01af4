#include "engine/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/limits.h"

namespace bitrate {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json Parse(std::string_view text) {
  auto parsed = ParseJson(text, "test");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : json();
}

std::string Message(const Status& status) { return std::string(ToStd(status.message())); }

TEST(ParseJson, ReadsWhatPythonWrites) {
  EXPECT_EQ(Parse("{\"a\": [1, 2.5, null, true, \"\\u00e9\"]}")["a"][4], "\xC3\xA9");
  EXPECT_EQ(Parse("{\"a\": 1, \"a\": 2}")["a"], 2) << "the last of equal keys wins";
  EXPECT_EQ(Parse("\xEF\xBB\xBF 7"), 7);
}

TEST(ParseJson, RefusesMalformedTextWithItsName) {
  for (const char* text : {"", "{", "[1,]", "{\"a\" 1}", "\"\xFF\"", "\"\\ud800\"", "nul", "1e999", "[1] x", "'a'"}) {
    auto parsed = ParseJson(text, "file.json");
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(parsed.status()), HasSubstr("file.json: malformed JSON"));
  }
}

TEST(ParseJson, BoundsNesting) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseJson(nested(limits::kMaxJsonDepth), "t").ok());
  EXPECT_EQ(ParseJson(nested(limits::kMaxJsonDepth + 1), "t").status().code(), StatusCode::kResourceExhausted);
  const std::string brackets(1000, '[');
  EXPECT_TRUE(ParseJson(fmt::format("\"{}\\\"{}\"", brackets, brackets), "t").ok()) << "in a string they do not nest";
}

TEST(ParseJson, BoundsBytesAndValues) {
  const std::string bytes(limits::kMaxJsonBytes + 1, ' ');
  EXPECT_EQ(ParseJson(bytes, "t").status().code(), StatusCode::kResourceExhausted);
  std::string values = "[0";
  for (uint64_t i = 0; i < limits::kMaxJsonValues; ++i) values += ",0";
  EXPECT_EQ(ParseJson(values + "]", "t").status().code(), StatusCode::kResourceExhausted);
}

TEST(JsonGetters, ReadEachType) {
  const json object =
      Parse(R"({"i": -3, "f": 2.5, "w": 4.0, "b": true, "s": "x", "a": [1], "o": {"k": 1}, "n": null})");
  EXPECT_EQ(*GetInt(object, "i"), -3);
  EXPECT_EQ(*GetInt(object, "w"), 4);
  EXPECT_EQ(*GetFloat(object, "f"), 2.5);
  EXPECT_EQ(*GetFloat(object, "i"), -3.0);
  EXPECT_EQ(*GetBool(object, "b"), true);
  EXPECT_EQ(*GetString(object, "s"), "x");
  EXPECT_EQ((*GetArray(object, "a"))->size(), 1u);
  EXPECT_EQ((*GetObject(object, "o"))->size(), 1u);
  EXPECT_EQ(*GetIntInRange(object, "i", -3, 5), -3);
}

TEST(JsonGetters, AbsentAndNullAreTheSame) {
  const json object = Parse(R"({"n": null})");
  for (const char* key : {"n", "absent"}) {
    EXPECT_EQ(*FindInt(object, key), std::nullopt);
    EXPECT_EQ(*FindFloat(object, key), std::nullopt);
    EXPECT_EQ(*FindBool(object, key), std::nullopt);
    EXPECT_EQ(*FindString(object, key), std::nullopt);
    EXPECT_EQ(*FindArray(object, key), nullptr);
    EXPECT_EQ(*FindObject(object, key), nullptr);
    EXPECT_THAT(Message(GetInt(object, key).status()), HasSubstr(std::string(key) + ": missing"));
    EXPECT_FALSE(GetArray(object, key).ok());
  }
  EXPECT_EQ(*FindInt(json::array(), "n"), std::nullopt) << "no object has no fields";
}

TEST(JsonGetters, RefuseTheWrongTypeByName) {
  const json object = Parse(R"({"x": "text", "f": 2.5, "big": 18446744073709551615, "huge": 1e300, "i": 7})");
  EXPECT_THAT(Message(GetInt(object, "x").status()), HasSubstr("x: got string, want an integer"));
  EXPECT_THAT(Message(FindBool(object, "i").status()), HasSubstr("i: got number, want true or false"));
  EXPECT_FALSE(GetInt(object, "f").ok());
  EXPECT_FALSE(GetInt(object, "big").ok());
  EXPECT_FALSE(GetInt(object, "huge").ok());
  EXPECT_FALSE(FindString(object, "i").ok());
  EXPECT_FALSE(FindArray(object, "x").ok());
  EXPECT_FALSE(FindObject(object, "x").ok());
  EXPECT_FALSE(GetIntInRange(object, "i", 8, 9).ok());
  EXPECT_FALSE(GetIntInRange(object, "i", 5, 6).ok());
}

}  // namespace
}  // namespace bitrate
