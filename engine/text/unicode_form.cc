#include "engine/text/unicode_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "engine/base/limits.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

constexpr int kMaxDecomposition = 64;  // the longest is 18

int CombiningClass(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Canonical ordering: each run of marks by combining class, equal ones as they came.
void SortMarks(std::vector<utf8proc_int32_t>* codes) {
  for (size_t i = 0; i < codes->size();) {
    if (CombiningClass((*codes)[i]) == 0) {
      ++i;
      continue;
    }
    size_t j = i;
    while (j < codes->size() && CombiningClass((*codes)[j]) != 0) ++j;
    if (j - i > 1) {
      std::stable_sort(codes->begin() + static_cast<ptrdiff_t>(i), codes->begin() + static_cast<ptrdiff_t>(j),
                       [](auto a, auto b) { return CombiningClass(a) < CombiningClass(b); });
    }
    i = j;
  }
}

// Writes the decomposition of `c` and returns its length.
StatusOr<size_t> Decompose(char32_t c, bool compat, utf8proc_int32_t (&buffer)[kMaxDecomposition]) {
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0));
  int boundary = 0;
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer, kMaxDecomposition, options, &boundary);
  if (count < 0 || count > kMaxDecomposition) return Internal("utf8proc cannot decompose U+{:04X}", uint32_t{c});
  return static_cast<size_t>(count);
}

}  // namespace

bool BeginsWithMark(char32_t c) {
  utf8proc_int32_t buffer[kMaxDecomposition];
  const auto count = Decompose(c, /*compat=*/true, buffer);
  return count.ok() && *count > 0 && CombiningClass(buffer[0]) != 0;
}

Status AppendUnicodeForm(std::string_view text, UnicodeForm form, std::string* out) {
  const bool compat = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  const bool compose = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  std::vector<utf8proc_int32_t> codes;
  codes.reserve(text.size());
  for (size_t pos = 0; pos < text.size(); pos += CodePointBytes(text[pos])) {
    utf8proc_int32_t buffer[kMaxDecomposition];
    ASSIGN_OR_RETURN(const size_t count, Decompose(CodePointAt(text, pos), compat, buffer));
    codes.insert(codes.end(), buffer, buffer + count);
    if (codes.size() > limits::kMaxNormalizedBytes) {
      return ResourceExhausted("the normalized text exceeds {} bytes", limits::kMaxNormalizedBytes);
    }
  }
  SortMarks(&codes);
  auto size = static_cast<utf8proc_ssize_t>(codes.size());
  if (compose) {
    size = utf8proc_normalize_utf32(codes.data(), size,
                                    static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (size < 0) return Internal("utf8proc cannot compose: {}", utf8proc_errmsg(size));
  }
  for (utf8proc_ssize_t i = 0; i < size; ++i) AppendUtf8(static_cast<char32_t>(codes[static_cast<size_t>(i)]), out);
  return OkStatus();
}

}  // namespace bitrate::text
