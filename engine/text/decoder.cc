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

bool EndsInReplacement(std::string_view text) { return text.ends_with(kReplacementUtf8); }

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
  std::string joined;
  std::string run;
  bool run_first = false;
  const auto end_run = [&] {
    if (run.empty()) return;
    if (FirstInvalidUtf8(run) != std::string_view::npos) {
      AppendReplacements(run.size(), &joined);
    } else {
      ApplySteps(fallback_at_, steps_.size(), run_first, &run);
      joined.append(run);
    }
    run.clear();
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    const Part part = PartOf(vocab, ids[i], i == 0);
    if (part.byte >= 0) {
      run_first = run.empty() ? i == 0 : run_first;
      run.push_back(static_cast<char>(part.byte));
    } else {
      end_run();
      joined.append(part.text);
    }
  }
  end_run();
  std::string text;
  if (byte_level_) {
    AppendLossy(joined, &text);
  } else {
    text = std::move(joined);
  }
  size_t begin = 0;
  for (int64_t n = 0; n < strip_count_ && std::string_view(text).substr(begin).starts_with(strip_); ++n) {
    begin += strip_.size();
  }
  text.erase(0, begin);
  for (const auto& [from, to] : replace_fused_) ReplaceAll(from, to, &text);
  return text;
}

std::string DecodeStream::Push(int32_t id) {
  const Decoder::Part part = decoder_->PartOf(*vocab_, id, first_);
  if (part.byte >= 0) {
    if (!run_active_) run_first_ = first_;
    PushByte(static_cast<uint8_t>(part.byte));
  } else {
    EndRun();
    if (decoder_->byte_level_) {
      PushBytes(part.text);
    } else {
      AppendFused(part.text, &pending_);
    }
  }
  first_ = false;
  return Take();
}

void DecodeStream::PushByte(uint8_t byte) {
  run_active_ = true;
  ++run_bytes_;
  if (run_broken_) return;
  tail_.push_back(static_cast<char>(byte));
  const Utf8Unit unit = NextUnit(tail_, 0);
  if (unit.kind == Utf8Unit::kIncomplete) return;
  if (unit.kind == Utf8Unit::kInvalid) {
    run_broken_ = true;
  } else {
    run_text_.append(tail_);
  }
  tail_.clear();
}

void DecodeStream::PushBytes(std::string_view bytes) {
  tail_.append(bytes);
  size_t pos = 0;
  std::string text;
  while (pos < tail_.size()) {
    const Utf8Unit unit = NextUnit(tail_, pos);
    if (unit.kind == Utf8Unit::kIncomplete) break;
    text.append(unit.kind == Utf8Unit::kValid ? std::string_view(tail_).substr(pos, unit.length) : kReplacementUtf8);
    pos += unit.length;
  }
  tail_.erase(0, pos);
  AppendFused(text, &pending_);
}

void DecodeStream::EndRun() {
  if (!run_active_) return;
  if (run_broken_ || !tail_.empty()) {
    run_text_.clear();
    AppendReplacements(run_bytes_, &run_text_);
  } else {
    decoder_->ApplySteps(decoder_->fallback_at_, decoder_->steps_.size(), run_first_, &run_text_);
  }
  AppendFused(run_text_, &pending_);
  run_text_.clear();
  tail_.clear();
  run_bytes_ = 0;
  run_active_ = run_broken_ = false;
}

void DecodeStream::AppendFused(std::string_view text, std::string* out) {
  while (!past_strip_ && !text.empty()) {
    past_strip_ = stripped_ >= decoder_->strip_count_ || !text.starts_with(decoder_->strip_);
    if (past_strip_) break;
    text.remove_prefix(decoder_->strip_.size());
    ++stripped_;
  }
  if (decoder_->replace_fused_.empty()) {
    out->append(text);
    return;
  }
  std::string replaced(text);
  for (const auto& [from, to] : decoder_->replace_fused_) ReplaceAll(from, to, &replaced);
  out->append(replaced);
}

std::string DecodeStream::Take() {
  if (!tail_.empty() || run_broken_) return {};
  if (EndsInReplacement(run_text_)) return {};
  if (run_active_) {
    // All of the run is whole characters: hand them out and forget them, the run itself goes on.
    decoder_->ApplySteps(decoder_->fallback_at_, decoder_->steps_.size(), run_first_, &run_text_);
    AppendFused(run_text_, &pending_);
    run_text_.clear();
    run_bytes_ = 0;
  }
  if (EndsInReplacement(pending_)) return {};
  return std::exchange(pending_, {});
}

std::string DecodeStream::Flush() {
  if (run_active_) {
    EndRun();
  } else {
    AppendFused(std::string(tail_.empty() ? std::string_view() : kReplacementUtf8), &pending_);
  }
  std::string text = std::move(pending_);
  *this = DecodeStream(decoder_, vocab_);
  return text;
}

}  // namespace bitrate::text
