#include "server/request_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "server/api_keys.h"

namespace bitrate {
namespace {

TEST(RequestLog, OneLineWhateverTheClientSent) {
  const std::string line = FormatLogText("request", {{"request_id", "a\nb \"c\""}, {"tokens", 3}, {"empty", ""}});
  EXPECT_EQ(line, "request request_id=\"a\\nb \\\"c\\\"\" tokens=3 empty=\"\"");
}

TEST(RequestLog, JsonParsesBack) {
  const std::string line =
      "{" + FormatLogJson("info", "request", {{"id", "x\n\xff"}, {"n", 3}, {"s", 0.25}, {"bad", std::nan("")}}) + "}";
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["event"], "request");
  EXPECT_EQ(json["id"], "x\n\xef\xbf\xbd");
  EXPECT_EQ(json["n"], 3);
  EXPECT_EQ(json["s"], 0.25);
  EXPECT_TRUE(json["bad"].is_string());
}

TEST(ApiKeys, NoKeysAdmitEverybody) { EXPECT_TRUE(ApiKeys().Check("", "").ok()); }

TEST(ApiKeys, BearerOrHeader) {
  const ApiKeys keys({"one", "another"});
  EXPECT_TRUE(keys.Check("Bearer one", "").ok());
  EXPECT_TRUE(keys.Check("", "another").ok());
  for (const auto& [authorization, header] : std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                                                              {"one", ""},
                                                                                              {"Bearer ", ""},
                                                                                              {"Bearer on", ""},
                                                                                              {"Bearer onee", ""},
                                                                                              {"Basic one", ""},
                                                                                              {"", "ONE"},
                                                                                              {"Bearer two", "one"}}) {
    EXPECT_EQ(keys.Check(authorization, header).code(), StatusCode::kUnauthenticated) << authorization << header;
  }
}

TEST(ApiKeys, SourcesWithoutAKeyAreErrors) {
  EXPECT_EQ(ApiKeys::Load("", "BITRATE_NO_SUCH_VARIABLE").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ApiKeys::Load("/nowhere/keys", "").status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(ApiKeys::Load("", "")->required());
}

}  // namespace
}  // namespace bitrate
