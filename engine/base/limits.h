// Every bound on untrusted input, in one place. Each has a test at the limit and one past it.
#ifndef BITRATE_ENGINE_BASE_LIMITS_H_
#define BITRATE_ENGINE_BASE_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace bitrate::limits {

// Model files.
inline constexpr uint64_t kMaxJsonBytes = 256ull << 20;               // tokenizer.json of a 256k vocabulary is ~35 MB
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100ull << 20;  // the bound of the format's own reference reader
inline constexpr uint64_t kMaxTensors = 200'000;
inline constexpr uint64_t kMaxMetadataEntries = 65'536;
inline constexpr uint64_t kMaxMetadataArrayElements = 4'000'000;
inline constexpr uint64_t kMaxStringBytes = 4ull << 20;  // one GGUF string (chat templates are the longest)
inline constexpr uint64_t kMaxTensorNameBytes = 1024;
inline constexpr int kMaxTensorDims = 8;
inline constexpr int kMaxJsonDepth = 64;
inline constexpr uint64_t kMaxJsonValues = 16'000'000;  // a parsed value takes about 50 bytes
inline constexpr int kMaxMetadataArrayDepth = 2;
inline constexpr int64_t kMaxTensorElements = int64_t{1} << 40;
inline constexpr uint64_t kMaxShards = 4096;

// Model shapes.
inline constexpr int64_t kMaxLayers = 1024;
inline constexpr int64_t kMaxExperts = 1024;  // of one layer
inline constexpr int64_t kMaxHidden = 1 << 20;
inline constexpr int64_t kMaxVocab = 4'000'000;
inline constexpr int64_t kMaxHeads = 4096;
inline constexpr int64_t kMaxHeadDim = 1024;
inline constexpr int64_t kMaxContext = int64_t{1} << 24;

// LoRA adapters.
inline constexpr int64_t kMaxAdapterRank = 1024;
inline constexpr size_t kMaxAdapterPatterns = 4096;             // of one field: target modules, rank or alpha patterns
inline constexpr uint64_t kMaxAdapterConfigBytes = 4ull << 20;  // adapter_config.json
inline constexpr size_t kMaxAdapters = 256;                     // of one model

// Tokenizers.
inline constexpr size_t kMaxAddedTokens = 100'000;
inline constexpr size_t kMaxMerges = 4'000'000;
inline constexpr size_t kMaxTokenizeBytes = 16u << 20;  // one text
inline constexpr uint32_t kPcreMatchLimit = 10'000'000;
inline constexpr uint32_t kPcreDepthLimit = 100'000;
inline constexpr uint32_t kPcreHeapKib = 64u << 10;
inline constexpr size_t kMaxPatternBytes = 64u << 10;
inline constexpr size_t kMaxNormalizedBytes = 64u << 20;  // one text after its normalizer
inline constexpr size_t kMaxMatchedTokenBytes = 1024;     // a token found by walking the text: added, Unigram
inline constexpr size_t kMaxTokensAround = 1024;          // that a post-processor puts on one side of a text
inline constexpr int32_t kMaxVocabHoles = 65'536;         // ids without a token
inline constexpr int kMaxTokenizerNodes = 64;             // normalizer / pre-tokenizer sequence members
inline constexpr int kMaxTokenizerDepth = 8;

// Chat templates.
inline constexpr size_t kMaxTemplateBytes = 1u << 20;
inline constexpr size_t kMaxTemplateOutputBytes = 16u << 20;
inline constexpr int64_t kMaxTemplateSteps = 5'000'000;
inline constexpr int kMaxTemplateDepth = 128;
inline constexpr int64_t kMaxTemplateRange = 100'000;

// Requests.
inline constexpr int kMaxChoices = 128;  // n
inline constexpr int kMaxStopStrings = 16;
inline constexpr size_t kMaxStopStringBytes = 1024;
inline constexpr int kMaxStopTokenIds = 256;
inline constexpr int kMaxLogitBias = 1024;
inline constexpr int kMaxTopLogprobs = 20;
inline constexpr int kMaxMessages = 4096;
inline constexpr int kMaxScoreItems = 1024;
inline constexpr int kMaxLabels = 16;
inline constexpr size_t kMaxIdBytes = 256;  // request_id, unit_id, names
inline constexpr int kMaxPriority = 3;      // classes 0 (most urgent) .. 3

// Server.
inline constexpr uint64_t kMaxConfigBytes = 4u << 20;
inline constexpr int kMaxVariants = 64;
inline constexpr int kMaxRoutingArms = 32;

}  // namespace bitrate::limits

#endif  // BITRATE_ENGINE_BASE_LIMITS_H_
