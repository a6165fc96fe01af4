// Weights from the packed cache against weights packed anew: the same logits to the bit at every precision, whatever
// has happened to the files or to the source meanwhile.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/artifact/tensor_cache.h"
#include "engine/model/source_fingerprints.h"
#include "tests/golden/model/golden_case.h"
#include "tests/golden/model/harness.h"

namespace bitrate::golden {
namespace {

namespace fs = std::filesystem;

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// One start of a server: a cache of its own on the folder, a backend, and what it knows of the source.
struct Start {
  explicit Start(const std::string& folder, bool huge_pages = false, Isa isa = DetectIsa())
      : cache(*TensorCache::Open(folder, [this](std::string_view) { ++warnings; })),
        backend(isa, false, cache, huge_pages) {}

  ModelPtr Load(const Checkpoint& checkpoint, const std::string& precision) {
    DecoderModel::LoadOptions options;
    options.precision = *Precision::Parse(precision);
    options.fingerprints = &fingerprints;
    const std::string identity = checkpoint.source_identity(std::chrono::system_clock::now() + std::chrono::hours(1));
    fingerprints.LoadFrom(*cache, identity, parallel);
    auto model = DecoderModel::Load(checkpoint, backend, parallel, nullptr, options);
    EXPECT_TRUE(model.ok()) << precision << ": " << model.status();
    fingerprints.StoreIn(*cache, identity);
    cache->Flush();
    return model.ok() ? *model : nullptr;
  }

  std::atomic<int> warnings{0};
  InlineParallel parallel;
  SourceFingerprints fingerprints;
  std::shared_ptr<TensorCache> cache;
  CpuBackend backend;
};

class PackedCacheTest : public testing::TestWithParam<const char*> {
 protected:
  PackedCacheTest() {
    std::string name = (fs::temp_directory_path() / "bitrate_packed_XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~PackedCacheTest() override { fs::remove_all(folder_); }
  std::string CacheFolder() const { return folder_ + "/cache"; }

  std::vector<float> Logits(const ModelPtr& model, const GoldenCase& c) {
    return model == nullptr ? std::vector<float>{} : PromptLogits(machine_, model, c.prompt_ids, 64);
  }

  Machine machine_{DetectIsa(), 1};
  std::string folder_;
};

INSTANTIATE_TEST_SUITE_P(Precisions, PackedCacheTest,
                         testing::Values("fp32", "bf16", "fp16", "int8", "int8-token", "int8-w8a16", "int4",
                                         "int4-g32-asym", "int4-g64-sym", "int4-w4a16"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The q4_k_m mixture packs q|k|v as parts of several schemes under plain int4; attn_bias has biases beside the weights.
TEST_P(PackedCacheTest, SameLogitsAsPackedAnew) {
  for (const char* name : {"arch/llama_attn_bias", "quant/gguf_mix_q4_k_m"}) {
    SCOPED_TRACE(name);
    const GoldenCase c = LoadCase(name);
    ASSERT_NE(c.checkpoint, nullptr);
    const std::string folder = CacheFolder() + std::string(name).substr(std::string(name).find('/') + 1);
    const std::vector<float> anew = Logits(LoadModel(machine_, *c.checkpoint, GetParam()), c);
    ASSERT_FALSE(anew.empty());
    Start first(folder);
    const ModelPtr packed = first.Load(*c.checkpoint, GetParam());
    EXPECT_TRUE(SameBits(Logits(packed, c), anew));
    EXPECT_EQ(packed->mapped_weight_bytes(), 0u);
    EXPECT_EQ(first.cache->stats().failed, 0);
    for (const bool huge_pages : {false, true}) {
      Start later(folder, huge_pages);
      const ModelPtr mapped = later.Load(*c.checkpoint, GetParam());
      EXPECT_TRUE(SameBits(Logits(mapped, c), anew));
      EXPECT_EQ(later.cache->stats().missing, 0);
      EXPECT_EQ(later.cache->stats().stored, 0);
      EXPECT_GT(later.cache->stats().found, 1);
      // All but norms and biases is mapped, or nothing where it was copied.
      EXPECT_EQ(mapped->weight_bytes(), packed->weight_bytes());
      if (huge_pages) {
        EXPECT_EQ(mapped->mapped_weight_bytes(), 0u);
      } else {
        EXPECT_GT(mapped->mapped_weight_bytes(), mapped->weight_bytes() * 9 / 10);
      }
      EXPECT_EQ(later.warnings, 0);
    }
  }
}

// The bytes are the same for every ISA: what one packed, another runs.
TEST_P(PackedCacheTest, EveryIsaReadsTheSameFiles) {
  const GoldenCase c = LoadCase("quant/gguf_q4_1");
  ASSERT_NE(c.checkpoint, nullptr);
  Start first(CacheFolder(), false, Isa::kScalar);
  first.Load(*c.checkpoint, GetParam());
  for (const Isa isa : RunnableIsas()) {
    SCOPED_TRACE(IsaName(isa));
    Machine machine(isa, 1);
    Start later(CacheFolder(), false, isa);
    const ModelPtr mapped = later.Load(*c.checkpoint, GetParam());
    ASSERT_NE(mapped, nullptr);
    EXPECT_EQ(later.cache->stats().missing, 0);
    EXPECT_TRUE(SameBits(PromptLogits(machine, mapped, c.prompt_ids, 64),
                         PromptLogits(machine, LoadModel(machine, *c.checkpoint, GetParam()), c.prompt_ids, 64)));
  }
}

class PackedCacheFilesTest : public PackedCacheTest {};
INSTANTIATE_TEST_SUITE_P(Precisions, PackedCacheFilesTest, testing::Values("int8"));

// Every file of the cache is spoilt: all are made anew, and no logit changes.
TEST_P(PackedCacheFilesTest, DamageChangesNoLogit) {
  const GoldenCase c = LoadCase("quant/gguf_q4_1");
  ASSERT_NE(c.checkpoint, nullptr);
  const std::vector<float> anew = Logits(LoadModel(machine_, *c.checkpoint, GetParam()), c);
  int64_t files = 0;
  {
    Start first(CacheFolder());
    first.Load(*c.checkpoint, GetParam());
  }
  for (const auto& entry : fs::directory_iterator(CacheFolder())) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(4096);
    const int byte = file.get();
    file.seekp(4096);
    file.put(static_cast<char>(byte ^ 0x40));
    ++files;
  }
  Start second(CacheFolder());
  EXPECT_TRUE(SameBits(Logits(second.Load(*c.checkpoint, GetParam()), c), anew));
  EXPECT_EQ(second.cache->stats().rejected, files);
  EXPECT_EQ(second.cache->stats().stored, files);
  EXPECT_EQ(second.warnings, files);
  Start third(CacheFolder());
  EXPECT_TRUE(SameBits(Logits(third.Load(*c.checkpoint, GetParam()), c), anew));
  EXPECT_EQ(third.cache->stats().found, files);
}

// The same path with other weights: nothing of the old ones is served.
TEST_P(PackedCacheFilesTest, AChangedSourceIsPackedAnew) {
  const std::string path = folder_ + "/model.gguf";
  const GoldenCase c = LoadCase("quant/gguf_q8_0");
  const std::string original = [] {
    for (const auto& entry : fs::directory_iterator(std::string(BITRATE_GOLDEN_DIR) + "/quant/gguf_q8_0")) {
      if (entry.path().extension() == ".gguf") return entry.path().string();
    }
    return std::string();
  }();
  ASSERT_FALSE(original.empty());
  fs::copy_file(original, path);
  const auto logits_of = [&](Start& run) {
    const auto checkpoint = Checkpoint::Open(path);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    return Logits(run.Load(**checkpoint, GetParam()), c);
  };
  std::vector<float> before;
  {
    Start run(CacheFolder());
    before = logits_of(run);
  }
  {  // one code of the last tensor's data, by rename as model files are replaced
    fs::copy_file(path, path + ".new");
    std::fstream file(path + ".new", std::ios::in | std::ios::out | std::ios::binary);
    const auto at = static_cast<std::streamoff>(fs::file_size(path)) - 5000;
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 0x40));
    file.close();
    fs::rename(path + ".new", path);
  }
  Start run(CacheFolder());
  const std::vector<float> after = logits_of(run);
  EXPECT_FALSE(SameBits(before, after));
  const auto checkpoint = Checkpoint::Open(path);
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_TRUE(SameBits(after, Logits(LoadModel(machine_, **checkpoint, GetParam()), c)));
  EXPECT_GT(run.cache->stats().found, 0);   // unchanged tensors are shared by content
  EXPECT_EQ(run.cache->stats().stored, 2);  // the changed one, and the fingerprints of the new file
}

// int8 and int8-w8a16 multiply differently but pack alike; int8 and int4 share their heads.
TEST_P(PackedCacheFilesTest, EqualTensorsAreStoredOnce) {
  const GoldenCase c = LoadCase("arch/llama_tied");
  ASSERT_NE(c.checkpoint, nullptr);
  Start run(CacheFolder());
  run.Load(*c.checkpoint, "int8");
  const int64_t stored = run.cache->stats().stored;
  run.Load(*c.checkpoint, "int8-w8a16");
  EXPECT_EQ(run.cache->stats().stored, stored);
  run.Load(*c.checkpoint, "int4");
  EXPECT_EQ(run.cache->stats().stored, 2 * stored - 2);  // all but the head and the fingerprints
}

// With known fingerprints and a full cache the matrices of the source are not read: here they cannot be.
TEST_P(PackedCacheFilesTest, ASecondStartDoesNotReadTheSource) {
  const std::string path = folder_ + "/model.gguf";
  const GoldenCase c = LoadCase("quant/gguf_q8_0");
  ASSERT_NE(c.checkpoint, nullptr);
  Start first(CacheFolder());
  first.Load(*c.checkpoint, GetParam());

  struct Unreadable final : Checkpoint {
    explicit Unreadable(const Checkpoint& in) : inner(in) {}
    Kind kind() const override { return inner.kind(); }
    const std::string& path() const override { return inner.path(); }
    const std::vector<TensorInfo>& tensors() const override { return inner.tensors(); }
    const nlohmann::json& config() const override { return inner.config(); }
    bool Has(std::string_view name) const override { return inner.Has(name); }
    StatusOr<WeightMatrix> Matrix(std::string_view name) const override {
      return Internal("the matrix {} was read", name);
    }
    StatusOr<std::vector<float>> Vector(std::string_view name) const override { return inner.Vector(name); }
    StatusOr<std::vector<float>> Decode(std::string_view name, std::vector<int64_t>* shape) const override {
      return inner.Decode(name, shape);
    }
    const std::string& tokenizer_json() const override { return inner.tokenizer_json(); }
    const std::string& tokenizer_config_json() const override { return inner.tokenizer_config_json(); }
    const std::string& chat_template_jinja() const override { return inner.chat_template_jinja(); }
    const GgufMetadata* gguf_metadata() const override { return inner.gguf_metadata(); }
    std::string digest() const override { return inner.digest(); }
    std::string source_identity(std::chrono::system_clock::time_point now) const override {
      return inner.source_identity(now);
    }
    const Checkpoint& inner;
  };
  const Unreadable unreadable(*c.checkpoint);
  Start second(CacheFolder());
  EXPECT_TRUE(SameBits(Logits(second.Load(unreadable, GetParam()), c),
                       Logits(LoadModel(machine_, *c.checkpoint, GetParam()), c)));
}

}  // namespace
}  // namespace bitrate::golden
