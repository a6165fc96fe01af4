#include "server/routing_store.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace bitrate {
namespace {

std::vector<RoutableModel> Models() { return {{"m", "int8", {"int8", "int4"}}}; }

RoutingPolicy Split(int int8_weight) {
  return {{{"m", "exp", "exp", {{"a", "int8", int8_weight}, {"b", "int4", 10000 - int8_weight}}, {}}}};
}

class StateDir {
 public:
  StateDir() {
    std::string name = (std::filesystem::temp_directory_path() / "bitrate-routing-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~StateDir() { std::filesystem::remove_all(path_); }
  std::string file() const { return (path_ / "routing.json").string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(RoutingStore, UpdateNeedsTheCurrentEtag) {
  RoutingStore store(Split(9000), "", &Models);
  const std::string etag = store.Current()->etag;
  const auto updated = store.Update(Split(5000), etag);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_NE((*updated)->etag, etag);
  EXPECT_EQ(store.Update(Split(1000), etag).status().code(), StatusCode::kAborted);
  EXPECT_EQ(store.Current()->policy, Split(5000));
  EXPECT_TRUE(store.Update(Split(1000), "").ok());
}

TEST(RoutingStore, RefusedPolicyChangesNothing) {
  RoutingStore store(Split(9000), "", &Models);
  RoutingPolicy bad = Split(9000);
  bad.rules[0].arms[0].weight = 1;
  const auto updated = store.Update(bad, "");
  EXPECT_EQ(updated.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(updated.status().message().find("policy.rules[0].arms"), absl::string_view::npos) << updated.status();
  EXPECT_EQ(store.Current()->policy, Split(9000));
  EXPECT_TRUE(store.History().empty());
}

TEST(RoutingStore, RestoreByEtagAndPrevious) {
  RoutingStore store(Split(9000), "", &Models);
  const std::string first = store.Current()->etag;
  ASSERT_TRUE(store.Update(Split(5000), "").ok());
  ASSERT_TRUE(store.Update(Split(1000), "").ok());
  ASSERT_TRUE(store.Restore("").ok());
  EXPECT_EQ(store.Current()->policy, Split(5000));
  ASSERT_TRUE(store.Restore(first).ok());
  EXPECT_EQ(store.Current()->policy, Split(9000));
  EXPECT_EQ(store.Current()->etag, first);  // the etag names the content
  EXPECT_EQ(store.Restore("nothing").status().code(), StatusCode::kNotFound);
}

TEST(RoutingStore, HistoryIsBounded) {
  RoutingStore store(Split(0), "", &Models);
  for (int i = 1; i <= 40; ++i) ASSERT_TRUE(store.Update(Split(i), "").ok());
  EXPECT_EQ(store.History().size(), RoutingStore::kMaxHistory);
  EXPECT_EQ(store.History()[0].snapshot->policy, Split(39));  // newest first
}

TEST(RoutingStore, StateFileSurvivesARestart) {
  StateDir dir;
  {
    RoutingStore store(Split(9000), dir.file(), &Models);
    EXPECT_TRUE(store.persistent());
    ASSERT_TRUE(store.LoadState().ok());  // no file yet
    ASSERT_TRUE(store.Update(Split(2500), "").ok());
  }
  RoutingStore again(Split(9000), dir.file(), &Models);
  ASSERT_TRUE(again.LoadState().ok());
  EXPECT_EQ(again.Current()->policy, Split(2500));
  ASSERT_TRUE(again.Restore("").ok());  // back to the configuration's
  EXPECT_EQ(again.Current()->policy, Split(9000));
  EXPECT_FALSE(std::filesystem::exists(dir.file() + ".tmp"));
}

TEST(RoutingStore, DamagedStateFileIsAnErrorAndChangesNothing) {
  StateDir dir;
  for (const char* text : {"", "{", "[]", "{\"rules\":[{\"model\":3}]}",
                           "{\"rules\":[{\"model\":\"gone\",\"experiment\":\"e\",\"salt\":\"s\",\"arms\":[],"
                           "\"fallback\":[]}]}"}) {
    std::ofstream(dir.file()) << text;
    RoutingStore store(Split(9000), dir.file(), &Models);
    EXPECT_EQ(store.LoadState().code(), StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(store.Current()->policy, Split(9000));
  }
}

TEST(RoutingStore, UnwritableStateFileKeepsThePolicyInForce) {
  RoutingStore store(Split(9000), "/nonexistent-folder/routing.json", &Models);
  const auto updated = store.Update(Split(1), "");
  EXPECT_EQ(updated.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(updated.status().message().find("nonexistent"), absl::string_view::npos);  // no path leaves
  EXPECT_EQ(store.Current()->policy, Split(9000));
}

TEST(RoutingStore, JsonRoundTrip) {
  RoutingPolicy policy = Split(1234);
  policy.rules[0].fallback = {"int4", "int8"};
  const auto back = PolicyFromJson(PolicyToJson(policy));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, policy);
}

}  // namespace
}  // namespace bitrate
