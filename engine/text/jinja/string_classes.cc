// str.isalpha and its like.
#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/string_methods.h"

namespace bitrate::jinja {
namespace {

bool IsAscii(uint32_t code) { return code < 0x80; }
bool IsAlphaNumeric(uint32_t code) { return IsAlphaChar(code) || IsNumericChar(code); }

// Whether the text is not empty (unless `empty`) and every character is of the class.
template <bool (*is_member)(uint32_t), bool empty = false>
StatusOr<Value> AllChars(Interpreter& in, const Value& self, const CallArgs&) {
  RETURN_IF_ERROR(in.Work(4 * self.str->size));
  const std::string_view text = self.text();
  for (size_t at = 0; at < text.size();) {
    const Char c = CharAt(text, at);
    if (!is_member(c.code)) return Value::Bool(false);
    at += c.size;
  }
  return Value::Bool(empty || !text.empty());
}

bool IsCaseText(std::string_view text, bool upper) {
  bool cased = false;
  for (size_t at = 0; at < text.size();) {
    const Char c = CharAt(text, at);
    if (IsCasedChar(c.code)) {
      if (upper ? !IsUpperChar(c.code) : !IsLowerChar(c.code)) return false;
      cased = true;
    }
    at += c.size;
  }
  return cased;
}

template <bool upper>
StatusOr<Value> CaseCheck(Interpreter& in, const Value& self, const CallArgs&) {
  RETURN_IF_ERROR(in.Work(8 * self.str->size));
  return Value::Bool(IsCaseText(self.text(), upper));
}

StatusOr<Value> IsTitle(Interpreter& in, const Value& self, const CallArgs&) {
  RETURN_IF_ERROR(in.Work(8 * self.str->size));
  bool cased = false;
  bool in_word = false;
  for (size_t at = 0; at < self.str->size;) {
    const Char c = CharAt(self.text(), at);
    const bool is_cased = IsCasedChar(c.code);
    if (is_cased && IsLowerChar(c.code) != in_word) return Value::Bool(false);
    cased = cased || is_cased;
    in_word = is_cased;
    at += c.size;
  }
  return Value::Bool(cased);
}

StatusOr<Value> IsIdentifier(Interpreter& in, const Value& self, const CallArgs& args) {
  const std::string_view text = self.text();
  if (text.empty() || IsNumericChar(CharAt(text, 0).code)) return Value::Bool(false);
  return AllChars<IsWordChar>(in, self, args);
}

}  // namespace

bool IsLowerText(std::string_view text) { return IsCaseText(text, false); }
bool IsUpperText(std::string_view text) { return IsCaseText(text, true); }

FilterFn FindClassMethod(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kMethods[] = {
      {"isalpha", AllChars<IsAlphaChar>},
      {"isalnum", AllChars<IsAlphaNumeric>},
      {"isdigit", AllChars<IsDigitChar>},
      {"isdecimal", AllChars<IsDecimalChar>},
      {"isnumeric", AllChars<IsNumericChar>},
      {"isspace", AllChars<IsSpace>},
      {"isascii", AllChars<IsAscii, true>},
      {"isprintable", AllChars<IsPrintableChar, true>},
      {"isupper", CaseCheck<true>},
      {"islower", CaseCheck<false>},
      {"istitle", IsTitle},
      {"isidentifier", IsIdentifier},
  };
  return FindNamedFunction(kMethods, name);
}

}  // namespace bitrate::jinja
