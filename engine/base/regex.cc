#include "engine/base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/base/limits.h"

namespace bitrate {
namespace {

std::string PcreMessage(int code) {
  PCRE2_UCHAR buffer[256];
  if (pcre2_get_error_message(code, buffer, sizeof(buffer)) < 0) return "unknown error";
  return reinterpret_cast<const char*>(buffer);
}

uint32_t OptionsOf(Regex::Mode mode) {
  constexpr uint32_t kAlways = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
  switch (mode) {
    case Regex::Mode::kLines:
      return kAlways | PCRE2_MULTILINE;
    case Regex::Mode::kStart:
      return kAlways | PCRE2_ANCHORED;
    case Regex::Mode::kWhole:
      return kAlways | PCRE2_ANCHORED | PCRE2_ENDANCHORED;
  }
  return kAlways;
}

}  // namespace

void RegexScratch::Free::operator()(pcre2_real_match_data_8* data) const { pcre2_match_data_free(data); }
void Regex::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void Regex::FreeContext::operator()(pcre2_real_match_context_8* context) const { pcre2_match_context_free(context); }

StatusOr<Regex> Regex::Compile(std::string_view pattern, Mode mode) {
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> compile(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  Regex regex;
  regex.context_.reset(pcre2_match_context_create(nullptr));
  if (compile == nullptr || regex.context_ == nullptr) return ResourceExhausted("no memory for a pattern");
  pcre2_set_newline(compile.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // An empty view may carry a null pointer, which PCRE2 refuses.
  regex.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data() == nullptr ? "" : pattern.data()),
                                  pattern.size(), OptionsOf(mode), &error, &offset, compile.get()));
  if (regex.code_ == nullptr) {
    return InvalidArgument("pattern does not compile at byte {} of its PCRE2 form: {}", offset, PcreMessage(error));
  }
  // Where JIT refuses a pattern, pcre2_match interprets it: slower, same matches, same limits.
  pcre2_jit_compile(regex.code_.get(), PCRE2_JIT_COMPLETE);
  pcre2_set_match_limit(regex.context_.get(), limits::kPcreMatchLimit);
  pcre2_set_depth_limit(regex.context_.get(), limits::kPcreDepthLimit);
  pcre2_set_heap_limit(regex.context_.get(), limits::kPcreHeapKib);
  return regex;
}

StatusOr<Regex::Match> Regex::Find(std::string_view subject, size_t pos, RegexScratch* scratch) const {
  if (scratch->data_ == nullptr) {
    scratch->data_.reset(pcre2_match_data_create(2, nullptr));  // the whole match and a group
    if (scratch->data_ == nullptr) return ResourceExhausted("no memory to match a pattern");
  }
  // An empty view may carry a null pointer, which PCRE2 refuses.
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data() == nullptr ? "" : subject.data());
  // The text is known to be valid; checking it again at each match would make a pass quadratic.
  int rc =
      pcre2_match(code_.get(), text, subject.size(), pos, PCRE2_NO_UTF_CHECK, scratch->data_.get(), context_.get());
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
    rc = pcre2_match(code_.get(), text, subject.size(), pos, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->data_.get(),
                     context_.get());
  }
  if (rc == PCRE2_ERROR_NOMATCH) return Match{};
  if (rc < 0) return ResourceExhausted("a pattern gave up at byte {}: {}", pos, PcreMessage(rc));
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(scratch->data_.get());
  // \K in a lookahead can put the start past the end; nothing sensible follows from such a match.
  if (range[0] > range[1] || range[0] < pos) return InvalidArgument("a pattern moved its match backwards");
  const bool has_group = rc != 1 && range[2] != PCRE2_UNSET;  // rc 0: there are more groups than were kept
  return Match{true, range[0], range[1], has_group ? range[2] : 0, has_group ? range[3] : 0};
}

}  // namespace bitrate
