// From ids back to text: the decoders of tokenizer.json, compiled into a form that works token by token.
//
// Compiled form: each token becomes a text by itself (replacements, Metaspace), or a raw byte ("<0xHH>" where there is
// a ByteFallback), or raw bytes (ByteLevel). What spans tokens is only: gathering bytes into UTF-8, and what follows a
// Fuse (leading characters dropped, single characters replaced). A file whose decoders need more is refused.
//
// Invalid bytes: ByteLevel writes one U+FFFD for each maximal invalid part, as the Hugging Face library does.
// ByteFallback writes one for each invalid byte and keeps the whole characters of a run, as SentencePiece does; the
// Hugging Face library differs where a run holds both (all its bytes become U+FFFD), which no stream could follow
// without taking back characters it has sent.
// Thread rule: Decoder is immutable and shared; DecodeStream has one owner.
#ifndef BITRATE_ENGINE_TEXT_DECODER_H_
#define BITRATE_ENGINE_TEXT_DECODER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/vocab.h"

namespace bitrate::text {

// One decoder of the file, sequences flattened.
struct DecodeStep {
  enum Kind { kReplace, kStrip, kMetaspace, kByteLevel, kByteFallback, kFuse } kind;
  std::string from;   // kReplace: the string; kStrip: the character; kMetaspace: the replacement
  std::string to;     // kReplace
  int64_t start = 0;  // kStrip: at most so many characters
  int64_t stop = 0;
  bool drop_first = false;  // kMetaspace: the first token loses its replacement characters
};

class Decoder {
 public:
  // `separator` stands between tokens where the file has no decoder at all. Tokens with raw[id] are taken as they are.
  // FAILED_PRECONDITION where the steps cannot run token by token.
  static StatusOr<Decoder> Compile(std::vector<DecodeStep> steps, std::string separator, std::vector<bool> raw);

  // The text of `ids`, each of them a token.
  std::string Decode(const Vocab& vocab, const std::vector<int32_t>& ids) const;

  // The bytes a token stands for when it is not the first.
  std::string TokenBytes(const Vocab& vocab, int32_t id) const;

 private:
  friend class DecodeStream;

  struct Part {
    int byte = -1;     // a ByteFallback byte, or
    std::string text;  // text (or bytes where byte_level_)
  };
  Part PartOf(const Vocab& vocab, int32_t id, bool first) const;
  void ApplySteps(size_t begin, size_t end, bool first, std::string* text) const;

  std::vector<DecodeStep> steps_;  // per token; [0, fallback_at_) before ByteFallback, the rest after
  size_t fallback_at_ = 0;
  bool byte_fallback_ = false;
  bool byte_level_ = false;
  std::string separator_;
  // After everything is one text:
  std::string strip_;  // a character, dropped up to strip_count_ times at the very start
  int64_t strip_count_ = 0;
  std::vector<std::pair<std::string, std::string>> replace_fused_;  // single characters
  std::vector<bool> raw_;
};

// The same, token by token. After each Push everything so far is handed out, unless it ends in U+FFFD (it may be half
// a character), in which case nothing new is. The pieces and the flush add up to Decode().
class DecodeStream {
 public:
  // Both must outlive the stream.
  DecodeStream(const Decoder* decoder, const Vocab* vocab) : decoder_(decoder), vocab_(vocab) {}

  std::string Push(int32_t id);
  std::string Flush();  // what was held back; the stream is as new afterwards

 private:
  friend class Decoder;
  void Append(int32_t id);
  void AppendBytes(std::string_view bytes);
  void EndRun();
  void AppendFused(std::string_view text);

  const Decoder* decoder_;
  const Vocab* vocab_;
  bool first_ = true;
  std::string pending_;     // decided, not handed out
  std::string tail_;        // the valid beginning of a character
  bool in_run_ = false;     // the last token was a ByteFallback byte
  bool run_first_ = false;  // nothing came before the run
  // After a Fuse.
  int64_t stripped_ = 0;
  bool past_strip_ = false;
};

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_DECODER_H_
