#include "server/config/config.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "bitrate/config/v1/config.pb.h"
#include "engine/base/limits.h"
#include "server/config/yaml_reader.h"

namespace bitrate {
namespace {

constexpr char kGood[] = "models:\n- name: m\n  path: /m.gguf\n  variants:\n  - precision: int8\n";

StatusOr<ServerSettings> Parse(const std::string& text) { return ParseConfig(text, "c.yaml", {}); }

struct BadCase {
  const char* name;
  std::string text;
  std::vector<const char*> lines;  // each a whole line of the message
};

class BadConfig : public testing::TestWithParam<BadCase> {};

TEST_P(BadConfig, EveryProblemIsNamed) {
  const auto settings = Parse(GetParam().text);
  ASSERT_EQ(settings.status().code(), StatusCode::kInvalidArgument);
  const std::string message = "\n" + std::string(settings.status().message()) + "\n";
  size_t newlines = 0;
  for (const char c : message) newlines += c == '\n' ? 1 : 0;
  EXPECT_EQ(newlines - 1, GetParam().lines.size()) << message;
  for (const char* line : GetParam().lines) {
    EXPECT_NE(message.find("\n" + std::string(line)), std::string::npos) << "wanted: " << line << message;
  }
}

std::string With(const std::string& more) { return kGood + more; }

INSTANTIATE_TEST_SUITE_P(
    Config, BadConfig,
    testing::Values(
        BadCase{"unknown_key", With("colour: red\n"), {"c.yaml:6: colour: unknown key, wanted one of: listen, tls,"}},
        BadCase{"unknown_nested",
                With("pool: {thread: 2}\n"),
                {"c.yaml:6: pool.thread: unknown key, wanted one of: threads, pin"}},
        BadCase{"duplicate_key",
                With("reflection: true\nreflection: false\n"),
                {"c.yaml:7: reflection: the key is there twice"}},
        BadCase{"duplicate_nested",
                With("pool:\n  threads: 1\n  threads: 2\n"),
                {"c.yaml:8: pool.threads: the key is there twice"}},
        BadCase{"wrong_type_number",
                With("pool: {threads: many}\n"),
                {"c.yaml:6: pool.threads: got \"many\", wanted a whole number"}},
        BadCase{"fraction_for_int",
                With("pool: {threads: 1.5}\n"),
                {"c.yaml:6: pool.threads: got \"1.5\", wanted a whole number"}},
        BadCase{
            "wrong_type_bool", With("reflection: yes\n"), {"c.yaml:6: reflection: got \"yes\", wanted true or false"}},
        BadCase{"wrong_type_map", With("pool: 3\n"), {"c.yaml:6: pool: got \"3\", wanted a map"}},
        BadCase{"wrong_type_list", With("routing: {}\n"), {"c.yaml:6: routing: got a map, wanted a list"}},
        BadCase{"null_value", With("log:\n"), {"c.yaml:6: log: got nothing, wanted a map"}},
        BadCase{"bad_size",
                With("memory_budget_bytes: 5 apples\n"),
                {"c.yaml:6: memory_budget_bytes: got \"5 apples\", wanted a size"}},
        BadCase{"negative_size",
                With("memory_budget_bytes: -1\n"),
                {"c.yaml:6: memory_budget_bytes: got \"-1\", wanted a size"}},
        BadCase{"int_overflow",
                With("pool: {threads: 99999999999}\n"),
                {"c.yaml:6: pool.threads: got \"99999999999\", wanted a whole number"}},
        BadCase{"not_finite",
                With("drain_timeout_seconds: .inf\n"),
                {"c.yaml:6: drain_timeout_seconds: got \".inf\", wanted a number"}},
        BadCase{"out_of_range",
                With("pool: {threads: 0}\ndrain_timeout_seconds: -1\n"),
                {"c.yaml:6: pool.threads: got 0, wanted 1 to 1024",
                 "c.yaml:7: drain_timeout_seconds: got -1, wanted 0 to 86400"}},
        BadCase{"bad_address",
                With("listen: {grpc: nowhere}\n"),
                {"c.yaml:6: listen.grpc: got \"nowhere\", wanted HOST:PORT"}},
        BadCase{"same_address",
                With("listen:\n  grpc: 127.0.0.1:7000\n  admin: 127.0.0.1:7000\n"),
                {"c.yaml:8: listen.admin: the address is listen.grpc's already"}},
        BadCase{"half_tls", With("tls: {cert_file: a.pem}\n"), {"c.yaml:6: tls: wanted both cert_file and key_file"}},
        BadCase{"two_key_sources",
                With("auth: {api_key_file: a, api_key_env: B}\n"),
                {"c.yaml:6: auth: wanted api_key_file or api_key_env, got both"}},
        BadCase{"bad_log",
                With("log: {level: loud, format: xml}\n"),
                {"c.yaml:6: log.level: got \"loud\"", "c.yaml:6: log.format: got \"xml\""}},
        BadCase{"bad_currency",
                With("prices: {currency: usd, core_hour: -1}\n"),
                {"c.yaml:6: prices.currency: got \"usd\"", "c.yaml:6: prices.core_hour: got -1, wanted 0 to"}},
        BadCase{"weights",
                With("routing:\n- experiment: e\n  arms:\n  - {variant: int8, weight: 9000}\n"),
                {"c.yaml:8: routing[0].arms: weights add up to 9000, wanted 10000"}},
        BadCase{"unknown_arm",
                With("routing:\n- experiment: e\n  arms:\n  - {variant: int3, weight: 10000}\n"),
                {"c.yaml:9: routing[0].arms[0].variant: model \"m\" has no variant \"int3\""}},
        BadCase{"unknown_fallback",
                With("routing:\n- experiment: e\n  arms: [{variant: int8, weight: 10000}]\n  fallback: [fp64]\n"),
                {"c.yaml:9: routing[0].fallback[0]: model \"m\" has no variant \"fp64\""}},
        BadCase{"adapters",
                "models:\n- name: m\n  path: p\n  variants: [{precision: int8}]\n  adapters:\n"
                "  - {name: a+b, path: x}\n  - {name: a}\n  - {name: a, path: $NOT_SET_ANYWHERE}\n",
                {"c.yaml:6: models[0].adapters[0].name: got \"a+b\", wanted letters, digits, '.', '_' or '-'",
                 "c.yaml:7: models[0].adapters[1].path: got nothing, wanted a PEFT folder",
                 "c.yaml:8: models[0].adapters[2].name: \"a\" is the name of an earlier adapter",
                 "c.yaml:8: models[0].adapters[2].path: the environment has no variable \"NOT_SET_ANYWHERE\""}},
        BadCase{"no_models", "reflection: true\n", {"c.yaml: models: got none, wanted at least one model"}},
        BadCase{"empty_file", "", {"c.yaml: got 0 documents, wanted one", "c.yaml: models: got none"}},
        BadCase{"two_documents",
                std::string(kGood) + "---\n" + kGood,
                {"c.yaml: got 2 documents or more, wanted one", "c.yaml: models: got none"}},
        BadCase{"leading_comma", ", a\n", {"c.yaml: got 2 documents or more, wanted one", "c.yaml: models: got none"}},
        BadCase{"model_parts",
                "models:\n- {}\n",
                {"c.yaml:2: models[0].name: got \"\"", "c.yaml:2: models[0].path: got nothing",
                 "c.yaml:2: models[0].variants: got none"}},
        BadCase{"bad_names",
                "models:\n- name: a:b\n  path: /m\n  variants:\n  - {name: 'x y', precision: int8}\n",
                {"c.yaml:2: models[0].name: got \"a:b\"", "c.yaml:5: models[0].variants[0].name: got \"x y\""}},
        BadCase{"same_names",
                "models:\n- name: m\n  path: /m\n  variants: [{precision: int8}, {precision: int8}]\n- name: m\n  "
                "path: /n\n  variants: [{precision: int4}]\n",
                {"c.yaml:4: models[0].variants[1]: \"int8\" is the name of an earlier variant",
                 "c.yaml:5: models[1].name: \"m\" is the name of an earlier model"}},
        BadCase{"bad_precision",
                "models:\n- name: m\n  path: /m\n  variants:\n  - precision: int5\n",
                {"c.yaml:5: models[0].variants[0].precision: "}},
        BadCase{"bad_kv_cache",
                "models:\n- name: m\n  path: /m\n  variants:\n  - precision: int8\n    kv_cache: int4\n",
                {"c.yaml:6: models[0].variants[0].kv_cache: got \"int4\", wanted auto or int8"}},
        BadCase{"bad_device",
                "models:\n- name: m\n  path: /m\n  variants:\n  - precision: int8\n    device: tpu\n",
                {"c.yaml:6: models[0].variants[0].device: got \"tpu\", wanted cpu"}},
        BadCase{"bad_default_variant",
                With("  default_variant: int9\n"),
                {"c.yaml:6: models[0].default_variant: got \"int9\", wanted one of: int8"}},
        BadCase{"unset_environment",
                "models:\n- name: m\n  path: ${BITRATE_NOT_SET_ANYWHERE}/m\n  variants:\n  - precision: int8\n",
                {"c.yaml:3: models[0].path: the environment has no variable \"BITRATE_NOT_SET_ANYWHERE\""}},
        // Five mistakes, five lines, in the order of the file.
        BadCase{"all_at_once",
                With("reflection: 1\npool: {threads: x, pin: maybe}\nnonsense: 3\nlog: {level: loud}\n"),
                {"c.yaml:6: reflection:", "c.yaml:7: pool.threads:", "c.yaml:7: pool.pin:", "c.yaml:8: nonsense:",
                 "c.yaml:9: log.level:"}}),
    [](const auto& info) { return info.param.name; });

TEST(Config, BrokenYamlNamesTheLine) {
  for (const std::string& text : {std::string("models: [\n"), std::string("a: b: c\n"), std::string("\t- x\n"),
                                  std::string("models: *nowhere\n"), std::string("\xff\xfe\x00", 3)}) {
    const auto settings = Parse(text);
    EXPECT_EQ(settings.status().code(), StatusCode::kInvalidArgument) << text;
    EXPECT_NE(settings.status().message().find("c.yaml"), absl::string_view::npos);
  }
}

// An alias bomb describes 10^9 values in a few lines.
TEST(Config, AliasBombIsRefused) {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  std::string list = "models: ";
  for (int i = 1; i < 9; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) text += (j ? "," : "") + std::string("*a") + std::to_string(i - 1);
    text += "]\n";
  }
  text += "models:\n- name: m\n  variants: *a8\n";
  EXPECT_EQ(Parse(text).status().code(), StatusCode::kInvalidArgument);
}

TEST(Config, SizeLimitOfTheFile) {
  std::string text = kGood;
  text += "#" + std::string(limits::kMaxConfigBytes - text.size() - 1, 'x');
  EXPECT_EQ(text.size(), limits::kMaxConfigBytes);
  EXPECT_TRUE(Parse(text).ok());
  EXPECT_EQ(Parse(text + "x").status().code(), StatusCode::kInvalidArgument);
}

TEST(Config, VariantLimit) {
  std::string text = "models:\n- name: m\n  path: /m\n  variants:\n";
  for (int i = 0; i < limits::kMaxVariants; ++i) text += "  - {name: v" + std::to_string(i) + ", precision: int8}\n";
  EXPECT_TRUE(Parse(text).ok());
  EXPECT_FALSE(Parse(text + "  - {name: more, precision: int8}\n").ok());
}

TEST(Config, DefaultsAreThoseOfTheSchema) {
  const auto settings = Parse(kGood);
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->grpc.ToString(), "127.0.0.1:9000");
  EXPECT_EQ(settings->admin.ToString(), "127.0.0.1:9001");
  EXPECT_EQ(settings->metrics->ToString(), "127.0.0.1:9090");
  EXPECT_EQ(settings->default_model, "m");
  EXPECT_EQ(settings->models[0].default_variant, "int8");
  EXPECT_EQ(settings->models[0].variants[0].max_sequences, 16);
  EXPECT_TRUE(settings->models[0].variants[0].prefix_cache);
  EXPECT_EQ(settings->limits.max_message_bytes, 16u << 20);
  EXPECT_EQ(settings->drain_timeout_seconds, 30);
  EXPECT_TRUE(settings->reflection);
  EXPECT_FALSE(settings->memory_budget_bytes.has_value());
}

TEST(Config, EverythingCanBeSet) {
  const auto settings = Parse(
      "listen: {grpc: '0.0.0.0:1', admin: '[::1]:2', metrics: ''}\n"
      "tls: {cert_file: c, key_file: k, client_ca_file: a}\nauth: {api_key_env: KEY}\n"
      "models:\n- name: m\n  path: /m\n  reference_variant: full\n  variants:\n"
      "  - {name: full, precision: fp32, device: cpu, pool_weight: 2, max_sequences: 3, max_step_tokens: 64, "
      "step_budget_ms: 12.5, "
      "max_queue: 5,"
      " max_queue_tokens: 100, kv_bytes: 1.5GiB, kv_cache: int8, prefix_cache: false, max_context: 128, load: false}\n"
      "  - precision: int4-g64-asym\n"
      "routing: [{model: m, experiment: e, salt: s, arms: [{name: a, variant: full, weight: 10000}], fallback: "
      "[full]}]\n"
      "state_file: /s\npool: {threads: 2, pin: false}\nmemory_budget_bytes: 2GB\n"
      "packed_cache: {dir: '/c${BITRATE_NO_SUCH_VARIABLE:-/d}', huge_pages: true}\n"
      "limits: {max_message_bytes: 1MiB, max_stream_buffer_bytes: 64KiB, max_concurrent_streams: 7, max_in_flight: 8,"
      " frontend_threads: 1, max_connection_age_seconds: 0}\n"
      "prices: {currency: EUR, core_hour: 0.5, gib_hour: 0.1, pricing_version: v}\ndrain_timeout_seconds: 0.5\n"
      "log: {level: debug, format: json}\nreflection: false\nliveness_timeout_seconds: 9\ndefault_model: m\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  const VariantSettings& v = settings->models[0].variants[0];
  EXPECT_EQ(settings->admin.ToString(), "[::1]:2");
  EXPECT_FALSE(settings->metrics.has_value());
  EXPECT_EQ(v.name, "full");
  EXPECT_EQ(v.kv_bytes, uint64_t{3} << 29);
  EXPECT_TRUE(v.int8_kv);
  EXPECT_FALSE(settings->models[0].variants[1].int8_kv);
  EXPECT_EQ(v.max_queue_tokens, 100);
  EXPECT_EQ(v.step_budget_ms, 12.5);
  EXPECT_EQ(settings->models[0].variants[1].step_budget_ms, 40);
  EXPECT_FALSE(v.prefix_cache || v.load);
  EXPECT_EQ(settings->memory_budget_bytes, 2'000'000'000u);
  EXPECT_EQ(settings->packed_cache.dir, "/c/d");
  EXPECT_TRUE(settings->packed_cache.huge_pages);
  EXPECT_EQ(settings->routing.rules[0].arms[0].name, "a");
  EXPECT_TRUE(settings->log_json);
  EXPECT_EQ(settings->prices.currency, "EUR");
}

TEST(Config, PackedCacheNeedsAFolder) {
  const std::string model = "models: [{name: m, path: /m, variants: [{precision: fp32}]}]\n";
  EXPECT_EQ(Parse(model)->packed_cache.dir, "");
  for (const char* bad : {"packed_cache: {}\n", "packed_cache: {huge_pages: true}\n", "packed_cache: {dir: ''}\n"}) {
    const auto settings = Parse(model + bad);
    ASSERT_FALSE(settings.ok()) << bad;
    EXPECT_NE(settings.status().message().find("packed_cache.dir: got nothing, wanted a folder"),
              absl::string_view::npos)
        << settings.status();
  }
  EXPECT_FALSE(Parse(model + "packed_cache: {dir: $BITRATE_NO_SUCH_VARIABLE}\n").ok());
  ConfigOverrides flags;
  flags.packed_cache = "/from/flag";
  EXPECT_EQ(ParseConfig(model + "packed_cache: {dir: /c}\n", "c.yaml", flags)->packed_cache.dir, "/from/flag");
}

TEST(Config, FlagsOverrideTheFile) {
  ConfigOverrides flags;
  flags.grpc = "127.0.0.1:0";
  flags.variants = {"fp32", "small=int4"};
  flags.threads = 1;
  flags.kv_bytes = "64MiB";
  const auto settings = ParseConfig(kGood, "c.yaml", flags);
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->grpc.port, 0);
  ASSERT_EQ(settings->models[0].variants.size(), 2u);
  EXPECT_EQ(settings->models[0].variants[1].name, "small");
  EXPECT_EQ(settings->models[0].variants[1].precision, "int4");
  EXPECT_EQ(settings->models[0].variants[1].kv_bytes, 64u << 20);
  EXPECT_EQ(settings->pool_threads, 1);
}

TEST(Config, ModelAloneNeedsNoFile) {
  ConfigOverrides flags;
  flags.model_path = "/models/SmolLM2-135M.Q4_1.gguf";
  flags.variants = {"fp32", "int8"};
  const auto settings = LoadConfig("", flags);
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->models[0].name, "SmolLM2-135M.Q4_1");
  EXPECT_EQ(settings->models[0].default_variant, "fp32");
  flags.variants = {"int9"};
  EXPECT_NE(LoadConfig("", flags).status().message().find("command line: models[0].variants[0].precision"),
            absl::string_view::npos);
}

TEST(Config, AdaptersOfFileAndFlags) {
  ConfigOverrides flags;
  flags.adapters = {"b=/lora/b=2"};
  const auto settings = ParseConfig(std::string(kGood) + "  adapters: [{name: a, path: /lora/a}]\n", "c.yaml", flags);
  ASSERT_TRUE(settings.ok()) << settings.status();
  ASSERT_EQ(settings->models[0].adapters.size(), 2u);
  EXPECT_EQ(settings->models[0].adapters[0].path, "/lora/a");
  EXPECT_EQ(settings->models[0].adapters[1].name, "b");
  EXPECT_EQ(settings->models[0].adapters[1].path, "/lora/b=2");
  flags.adapters = {"no-path"};
  EXPECT_NE(ParseConfig(kGood, "c.yaml", flags).status().message().find("--adapter: got \"no-path\", wanted NAME=PATH"),
            absl::string_view::npos);
  std::string many = kGood;
  many += "  adapters:\n";
  for (size_t i = 0; i < limits::kMaxAdapters; ++i) many += fmt::format("  - {{name: a{}, path: p}}\n", i);
  EXPECT_TRUE(Parse(many).ok()) << Parse(many).status();
  EXPECT_NE(Parse(many + "  - {name: more, path: p}\n").status().message().find("models[0].adapters: got 257"),
            absl::string_view::npos);
}

TEST(Config, AModelAloneIsServedAsItIsStoredOrInInt8) {
  const std::string golden = BITRATE_GOLDEN_DIR;
  for (const auto& [path, want] :
       {std::pair(golden + "/quant/gptq_b4_g32_asym/model", "native"),
        std::pair(golden + "/quant/gguf_q4_k/model.gguf", "native"),
        std::pair(golden + "/quant/gguf_bf16/model.gguf", "int8"), std::pair(golden + "/arch/llama_tied/model", "int8"),
        std::pair(std::string("/nowhere/at/all"), "int8")}) {
    ConfigOverrides flags;
    flags.model_path = path;
    const auto settings = LoadConfig("", flags);
    ASSERT_TRUE(settings.ok()) << settings.status();
    ASSERT_EQ(settings->models[0].variants.size(), 1u);
    EXPECT_EQ(settings->models[0].variants[0].precision, want) << path;
  }
}

TEST(Config, MissingFileIsNamed) {
  const auto settings = LoadConfig("/nowhere/at/all.yaml", {});
  EXPECT_EQ(settings.status().code(), StatusCode::kNotFound);
  EXPECT_NE(settings.status().message().find("/nowhere/at/all.yaml"), absl::string_view::npos);
}

TEST(Config, ShippedExamplesAreGood) {
  ::setenv("BITRATE_MODEL", "/some/model.gguf", 1);
  const auto quickstart = LoadConfig(BITRATE_SOURCE_DIR "/config/quickstart.yaml", {});
  ASSERT_TRUE(quickstart.ok()) << quickstart.status();
  EXPECT_EQ(quickstart->models[0].variants.size(), 6u);
  EXPECT_EQ(quickstart->models[0].path, "/some/model.gguf");
  EXPECT_EQ(quickstart->routing.rules.size(), 1u);
  const auto minimal = LoadConfig(BITRATE_SOURCE_DIR "/config/minimal.yaml", {});
  ASSERT_TRUE(minimal.ok()) << minimal.status();
}

TEST(Config, Addresses) {
  EXPECT_EQ(ParseAddress("localhost:80")->ToString(), "localhost:80");
  EXPECT_EQ(ParseAddress("[::1]:0")->ToString(), "[::1]:0");
  for (const char* bad :
       {"", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:8o", "::1:80", "[::1:80", "a b:1", "[]:1"}) {
    EXPECT_FALSE(ParseAddress(bad).has_value()) << bad;
  }
}

TEST(Config, Sizes) {
  EXPECT_EQ(ParseSize("0"), 0u);
  EXPECT_EQ(ParseSize("18446744073709551615"), 18446744073709551615ull);
  EXPECT_EQ(ParseSize("512MiB"), 512u << 20);
  EXPECT_EQ(ParseSize("1.5 GiB"), 3ull << 29);
  EXPECT_EQ(ParseSize("1kB"), 1000u);
  EXPECT_EQ(ParseSize("2TiB"), 2ull << 40);
  for (const char* bad :
       {"", "MiB", "1.2.3MiB", "1mb", "-1", "1e3", "99999999999999TiB", "18446744073709551616", "1.5"}) {
    EXPECT_FALSE(ParseSize(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace bitrate
