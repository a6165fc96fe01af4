#include "engine/text/decoder.h"

#include <algorithm>

#include "engine/text/byte_level.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

void ReplaceAll(std::string_view from, std::string_view to, std::string* text) {
  if (from.empty()) return;
  size_t found = text->find(from);
  if (found == std::string::npos) return;
  std::string out;
  size_t copied = 0;
  for (; found != std::string::npos; found = text->find(from, copied)) {
    out.append(*text, copied, found - copied).append(to);
    copied = found + from.size();
  }
  out.append(*text, copied, std::string::npos);
  *text = std::move(out);
}

void StripToken(const DecodeStep& step, std::string* text) {
  size_t begin = 0;
  size_t end = text->size();
  const std::string_view view = *text;
  for (int64_t n = 0; n < step.start && view.substr(begin).starts_with(step.from); ++n) begin += step.from.size();
  for (int64_t n = 0; n < step.stop && view.substr(begin, end - begin).ends_with(step.from); ++n) {
    end -= step.from.size();
  }
  *text = text->substr(begin, end - begin);
}

bool IsOneCharacter(std::string_view text) { return !text.empty() && CodePointBytes(text[0]) == text.size(); }

void AppendReplacements(size_t count, std::string* out) {
  for (size_t i = 0; i < count; ++i) out->append(kReplacementUtf8);
}

}  // namespace

StatusOr<Decoder> Decoder::Compile(std::vector<DecodeStep> steps, std::string separator, std::vector<bool> raw) {
  Decoder d;
  d.separator_ = std::move(separator);
  d.raw_ = std::move(raw);
  bool fused = false;
  const auto refuse = [](std::string_view what) {
    return FailedPrecondition("decoder: {} is not supported, it cannot be done while tokens stream", what);
  };
  for (DecodeStep& step : steps) {
    switch (step.kind) {
      case DecodeStep::kFuse:
        fused = true;
        break;
      case DecodeStep::kByteLevel:
        if (fused || d.byte_fallback_) return refuse("ByteLevel after Fuse or ByteFallback");
        d.byte_level_ = fused = true;
        break;
      case DecodeStep::kByteFallback:
        if (fused || d.byte_fallback_) return refuse("ByteFallback after Fuse, ByteLevel or ByteFallback");
        d.byte_fallback_ = true;
        d.fallback_at_ = d.steps_.size();
        break;
      case DecodeStep::kMetaspace:
        if (fused) return refuse("Metaspace after Fuse or ByteLevel");
        d.steps_.push_back(std::move(step));
        break;
      case DecodeStep::kReplace:
        // Between tokens, only a single character cannot straddle.
        if ((fused || d.byte_fallback_) && !IsOneCharacter(step.from)) {
          return refuse("Replace of several characters after Fuse, ByteLevel or ByteFallback");
        }
        if (fused) {
          d.replace_fused_.emplace_back(std::move(step.from), std::move(step.to));
        } else {
          d.steps_.push_back(std::move(step));
        }
        break;
      case DecodeStep::kStrip:
        if (!fused && d.byte_fallback_) return refuse("Strip between ByteFallback and Fuse");
        if (!fused) {
          d.steps_.push_back(std::move(step));
        } else if (step.stop != 0 || d.strip_count_ != 0 || !d.replace_fused_.empty()) {
          return refuse("Strip at the end, twice, or after Replace, behind Fuse");
        } else {
          d.strip_ = std::move(step.from);
          d.strip_count_ = step.start;
        }
        break;
    }
  }
  if (!d.byte_fallback_) d.fallback_at_ = d.steps_.size();
  return d;
}

void Decoder::ApplySteps(size_t begin, size_t end, bool first, std::string* text) const {
  for (size_t i = begin; i < end; ++i) {
    const DecodeStep& step = steps_[i];
    if (step.kind == DecodeStep::kReplace) {
      ReplaceAll(step.from, step.to, text);
    } else if (step.kind == DecodeStep::kMetaspace) {
      ReplaceAll(step.from, first && step.drop_first ? "" : " ", text);
    } else {
      StripToken(step, text);
    }
  }
}

Decoder::Part Decoder::PartOf(const Vocab& vocab, int32_t id, bool first) const {
  Part part;
  part.text = vocab.Text(id);
  ApplySteps(0, fallback_at_, first, &part.text);
  if (byte_fallback_) {
    part.byte = ParseByteToken(part.text);
    if (part.byte < 0) ApplySteps(fallback_at_, steps_.size(), first, &part.text);
  } else if (byte_level_ && !(static_cast<size_t>(id) < raw_.size() && raw_[static_cast<size_t>(id)])) {
    std::string bytes;
    AppendByteLevelDecoded(part.text, &bytes);
    part.text = std::move(bytes);
  }
  if (!first && !separator_.empty()) part.text.insert(0, separator_);
  return part;
}

std::string Decoder::TokenBytes(const Vocab& vocab, int32_t id) const {
  Part part = PartOf(vocab, id, /*first=*/false);
  return part.byte >= 0 ? std::string(1, static_cast<char>(part.byte)) : part.text;
}

std::string Decoder::Decode(const Vocab& vocab, const std::vector<int32_t>& ids) const {
  DecodeStream stream(this, &vocab);
  for (const int32_t id : ids) stream.Append(id);
  return stream.Flush();
}

std::string DecodeStream::Push(int32_t id) {
  Append(id);
  if (!tail_.empty() || pending_.ends_with(kReplacementUtf8)) return {};
  return std::exchange(pending_, {});
}

void DecodeStream::Append(int32_t id) {
  const Decoder::Part part = decoder_->PartOf(*vocab_, id, first_);
  if (part.byte >= 0) {
    if (!in_run_) run_first_ = first_;
    in_run_ = true;
    const char byte = static_cast<char>(part.byte);
    AppendBytes({&byte, 1});
  } else {
    EndRun();
    if (decoder_->byte_level_) {
      AppendBytes(part.text);
    } else {
      AppendFused(part.text);
    }
  }
  first_ = false;
}

void DecodeStream::AppendBytes(std::string_view bytes) {
  tail_.append(bytes);
  size_t pos = 0;
  std::string text;
  while (pos < tail_.size()) {
    const Utf8Unit unit = NextUnit(tail_, pos);
    if (unit.kind == Utf8Unit::kIncomplete) break;
    if (unit.kind == Utf8Unit::kValid) {
      text.append(tail_, pos, unit.length);
    } else {
      AppendReplacements(decoder_->byte_level_ ? 1 : unit.length, &text);
    }
    pos += unit.length;
  }
  tail_.erase(0, pos);
  if (in_run_) decoder_->ApplySteps(decoder_->fallback_at_, decoder_->steps_.size(), run_first_, &text);
  AppendFused(text);
}

void DecodeStream::EndRun() {
  if (!in_run_) return;
  std::string text;
  AppendReplacements(tail_.size(), &text);
  tail_.clear();
  in_run_ = false;
  AppendFused(text);
}

void DecodeStream::AppendFused(std::string_view text) {
  while (!past_strip_ && !text.empty()) {
    past_strip_ = stripped_ >= decoder_->strip_count_ || !text.starts_with(decoder_->strip_);
    if (past_strip_) break;
    text.remove_prefix(decoder_->strip_.size());
    ++stripped_;
  }
  if (decoder_->replace_fused_.empty()) {
    pending_.append(text);
    return;
  }
  std::string replaced(text);
  for (const auto& [from, to] : decoder_->replace_fused_) ReplaceAll(from, to, &replaced);
  pending_.append(replaced);
}

std::string DecodeStream::Flush() {
  EndRun();
  if (!tail_.empty()) AppendFused(kReplacementUtf8);
  std::string text = std::move(pending_);
  *this = DecodeStream(decoder_, vocab_);
  return text;
}

}  // namespace bitrate::text
