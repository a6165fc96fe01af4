// LoRA adapters over gRPC on the real engine: golden adapters beside one another on a golden model, loaded, listed,
// compared and unloaded at run time, under traffic. Expected tokens are PEFT's own.
#include <google/protobuf/util/time_util.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/base/compute_pool.h"
#include "server/engine_loader.h"
#include "tests/integration/server/harness.h"

namespace bitrate {
namespace {

std::string AdapterPath(const std::string& name) { return BITRATE_GOLDEN_DIR "/lora/" + name + "/adapter"; }

struct Case {
  std::vector<int32_t> prompt, greedy;
};
Case ReadCase(const std::string& name) {
  std::ifstream in(BITRATE_GOLDEN_DIR "/lora/" + name + "/case.json");
  const auto json = nlohmann::json::parse(in);
  return {json["prompt_ids"].get<std::vector<int32_t>>(), json["greedy_ids"].get<std::vector<int32_t>>()};
}

class AdapterServerTest : public ServerFixture {
 protected:
  void StartWith(const std::vector<AdapterSettings>& adapters) {
    auto loader = MakeEngineLoader(&pool_, Clock::System());
    ASSERT_TRUE(loader.ok()) << loader.status();
    engine_ = *std::move(loader);
    ServerSettings settings = Defaults();
    settings.models = {FakeModel("m", {"fp32", "int8"})};
    settings.models[0].path = BITRATE_GOLDEN_DIR "/lora/base_fp32";
    settings.models[0].adapters = adapters;
    Start(settings, engine_.get());
  }

  grpc::Status Greedy(const std::string& model, const Case& c, v1::GenerateResponse* response) {
    v1::GenerateRequest request = Request(c.prompt);
    request.mutable_model()->set_model(model);
    request.mutable_sampling()->set_temperature(0);
    request.mutable_stop()->set_max_tokens(static_cast<int>(c.greedy.size()));
    request.mutable_stop()->set_ignore_eos(true);
    return Generate(request, response);
  }
  std::vector<int32_t> Tokens(const std::string& model, const Case& c) {
    v1::GenerateResponse response;
    const grpc::Status status = Greedy(model, c, &response);
    EXPECT_TRUE(status.ok()) << model << ": " << status.error_message();
    if (response.choices_size() != 1) return {};
    return {response.choices(0).token_ids().begin(), response.choices(0).token_ids().end()};
  }

  grpc::Status Load(const std::string& name, const std::string& path, v1::LoadAdapterResponse* response) {
    grpc::ClientContext context;
    Bound(&context);
    v1::LoadAdapterRequest request;
    request.set_adapter(name);
    request.set_path(path);
    return admin_->LoadAdapter(&context, request, response);
  }
  grpc::Status Unload(const std::string& name, bool drain, v1::UnloadAdapterResponse* response) {
    grpc::ClientContext context;
    Bound(&context);
    v1::UnloadAdapterRequest request;
    request.set_adapter(name);
    request.set_drain(drain);
    return admin_->UnloadAdapter(&context, request, response);
  }
  v1::ListAdaptersResponse List() {
    grpc::ClientContext context;
    Bound(&context);
    v1::ListAdaptersResponse response;
    EXPECT_TRUE(admin_->ListAdapters(&context, {}, &response).ok());
    return response;
  }

  ComputePool pool_{{2, false}};
  std::unique_ptr<ModelLoader> engine_;
};

TEST_F(AdapterServerTest, TwoAdaptersAndNoneAtOnce) {
  ASSERT_NO_FATAL_FAILURE(StartWith({{"all", AdapterPath("fp32_all")}, {"rs", AdapterPath("fp32_rslora")}}));
  const Case all = ReadCase("fp32_all"), rs = ReadCase("fp32_rslora");
  const std::vector<int32_t> base = Tokens("m:fp32", all);
  EXPECT_NE(base, all.greedy);
  std::vector<std::thread> clients;
  for (int i = 0; i < 9; ++i) {
    clients.emplace_back([&, i] {
      const char* const models[] = {"m+all:fp32", "+rs:fp32", "m:fp32"};
      const std::vector<int32_t>* const wanted[] = {&all.greedy, &rs.greedy, &base};
      EXPECT_EQ(Tokens(models[i % 3], i % 3 == 1 ? rs : all), *wanted[i % 3]) << models[i % 3];
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(Tokens("m+all:int8", all).size(), all.greedy.size());

  v1::GenerateResponse response;
  ASSERT_TRUE(Greedy("m+all", all, &response).ok());
  EXPECT_EQ(response.route().model(), "m");
  EXPECT_EQ(response.route().adapter(), "all");
  EXPECT_EQ(response.route().variant(), "fp32");
  grpc::ClientContext context;
  v1::ListModelsResponse models;
  ASSERT_TRUE(models_->ListModels(&context, {}, &models).ok());
  ASSERT_EQ(models.models(0).adapters_size(), 2);
  EXPECT_EQ(models.models(0).adapters(0), "all");
}

TEST_F(AdapterServerTest, LoadedAndUnloadedAtRunTime) {
  ASSERT_NO_FATAL_FAILURE(StartWith({}));
  const Case all = ReadCase("fp32_all");
  v1::GenerateResponse answer;
  grpc::Status status = Greedy("m+all:fp32", all, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "model \"m\" has no adapter \"all\", it has: none");

  v1::LoadAdapterResponse loaded;
  status = Load("all", AdapterPath("fp32_all"), &loaded);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(loaded.adapter().max_rank(), 8);
  EXPECT_EQ(loaded.adapter().num_modules(), 14);
  EXPECT_EQ(loaded.adapter().resident_bytes(), 118'784u);
  EXPECT_EQ(Tokens("m+all:fp32", all), all.greedy);
  EXPECT_EQ(Load("all", AdapterPath("fp32_rslora"), &loaded).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  ASSERT_EQ(List().adapters_size(), 1);
  EXPECT_FALSE(List().adapters(0).in_use());

  status = Greedy("m+other:fp32", all, &answer);
  EXPECT_EQ(status.error_message(), "model \"m\" has no adapter \"other\", it has: all");
  const auto resource = FindDetail<google::rpc::ResourceInfo>(status);
  ASSERT_TRUE(resource.has_value());
  EXPECT_EQ(resource->resource_name(), "m+other");
  EXPECT_EQ(Greedy("m+:fp32", all, &answer).error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  v1::UnloadAdapterResponse unloaded;
  ASSERT_TRUE(Unload("all", false, &unloaded).ok());
  EXPECT_FALSE(unloaded.adapter().in_use());
  EXPECT_EQ(Greedy("m+all:fp32", all, &answer).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Unload("all", false, &unloaded).error_code(), grpc::StatusCode::NOT_FOUND);

  // Another one of the same name: nothing of the first is found in the prefix cache.
  const Case rs = ReadCase("fp32_rslora");
  ASSERT_TRUE(Load("all", AdapterPath("fp32_rslora"), &loaded).ok());
  EXPECT_EQ(Tokens("m+all:fp32", rs), rs.greedy);
  EXPECT_NE(Tokens("m+all:fp32", all), all.greedy);
}

TEST_F(AdapterServerTest, WhatIsRefusedHarmsNothing) {
  ASSERT_NO_FATAL_FAILURE(StartWith({{"bad", AdapterPath("fp32_dora")}}));
  const Case all = ReadCase("fp32_all");
  v1::GenerateResponse answer;
  grpc::Status status = Greedy("m+bad:fp32", all, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_NE(status.error_message().find("use_dora"), std::string::npos) << status.error_message();
  ASSERT_EQ(List().adapters_size(), 1);
  EXPECT_NE(List().adapters(0).error().message().find("use_dora"), std::string::npos);
  v1::LoadAdapterResponse loaded;
  status = Load("x", AdapterPath("fp32_modules_to_save"), &loaded);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_NE(status.error_message().find("modules_to_save"), std::string::npos) << status.error_message();
  EXPECT_EQ(Load("x", "/nowhere", &loaded).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Load("x", "", &loaded).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Load("a+b", AdapterPath("fp32_all"), &loaded).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(List().adapters_size(), 1);
  // The configured name may be loaded again, by something better.
  ASSERT_TRUE(Load("bad", AdapterPath("fp32_all"), &loaded).ok());
  EXPECT_EQ(Tokens("m+bad:fp32", all), all.greedy);
}

TEST_F(AdapterServerTest, UnloadWhileARequestRuns) {
  ASSERT_NO_FATAL_FAILURE(StartWith({{"all", AdapterPath("fp32_all")}}));
  v1::GenerateStreamRequest request = StreamRequest(ReadCase("fp32_all").prompt);
  request.mutable_model()->set_model("m+all:fp32");
  request.mutable_stop()->set_max_tokens(200);
  request.mutable_stop()->set_ignore_eos(true);
  grpc::ClientContext context;
  Bound(&context);
  auto stream = inference_->GenerateStream(&context, request);
  v1::GenerateStreamResponse event;
  ASSERT_TRUE(stream->Read(&event));
  // The stream may be through by now: then the unload succeeds, which is right as well.
  v1::UnloadAdapterResponse unloaded;
  const grpc::Status refused = Unload("all", false, &unloaded);
  if (!refused.ok()) {
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_NE(refused.error_message().find("in use"), std::string::npos);
    const grpc::Status drained = Unload("all", true, &unloaded);
    ASSERT_TRUE(drained.ok()) << drained.error_message();
    EXPECT_FALSE(unloaded.adapter().in_use());
  }
  while (stream->Read(&event)) continue;
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(List().adapters_size(), 0);
}

TEST_F(AdapterServerTest, ComparedOnEveryVariant) {
  ASSERT_NO_FATAL_FAILURE(StartWith({{"all", AdapterPath("fp32_all")}}));
  const Case all = ReadCase("fp32_all");
  v1::CompareRequest request;
  request.set_model("m+all");
  request.mutable_token_ids()->mutable_ids()->Assign(all.prompt.begin(), all.prompt.end());
  request.set_max_tokens(static_cast<int>(all.greedy.size()));
  request.set_ignore_eos(true);
  grpc::ClientContext context;
  Bound(&context);
  auto stream = inference_->Compare(&context, request);
  v1::CompareResponse response;
  std::vector<v1::CompareResult> results;
  while (stream->Read(&response)) {
    if (response.has_result()) results.push_back(response.result());
  }
  const grpc::Status status = stream->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(std::vector<int32_t>(results[0].token_ids().begin(), results[0].token_ids().end()), all.greedy);
  // int8 of the same adapter stays close; without the adapter hardly a token would agree.
  EXPECT_GT(results[1].top1_agreement(), 0.5);
}

// Adapters come and go while clients use them: an answer is whole and right, or the name is unknown.
TEST_F(AdapterServerTest, LoadAndUnloadUnderTraffic) {
  ASSERT_NO_FATAL_FAILURE(StartWith({{"rs", AdapterPath("fp32_rslora")}}));
  const Case all = ReadCase("fp32_all"), rs = ReadCase("fp32_rslora");
  std::atomic<bool> over{false};
  std::atomic<int> answered{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&, i] {
      while (!over.load()) {
        v1::GenerateResponse response;
        const bool stays = i == 0;
        const Case& c = stays ? rs : all;
        const grpc::Status status = Greedy(stays ? "m+rs:fp32" : "m+all:fp32", c, &response);
        if (!status.ok()) {
          EXPECT_FALSE(stays) << status.error_message();
          EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << status.error_message();
          continue;
        }
        ++answered;
        EXPECT_EQ(std::vector<int32_t>(response.choices(0).token_ids().begin(), response.choices(0).token_ids().end()),
                  c.greedy);
      }
    });
  }
  for (int round = 0; round < 15; ++round) {
    v1::LoadAdapterResponse loaded;
    EXPECT_TRUE(Load("all", AdapterPath("fp32_all"), &loaded).ok());
    v1::GenerateResponse response;
    EXPECT_TRUE(Greedy("m+all:fp32", all, &response).ok());
    v1::UnloadAdapterResponse unloaded;
    EXPECT_TRUE(Unload("all", true, &unloaded).ok());
    EXPECT_FALSE(unloaded.adapter().in_use());
  }
  over = true;
  for (std::thread& client : clients) client.join();
  EXPECT_GT(answered.load(), 0);
}

}  // namespace
}  // namespace bitrate
