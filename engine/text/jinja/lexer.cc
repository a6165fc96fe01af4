#include "engine/text/jinja/lexer.h"

#include <algorithm>
#include <string>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/string_literal.h"
#include "engine/text/jinja/unicode.h"

namespace bitrate::jinja {
namespace {

// Longest first, so that a prefix never wins.
constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                           "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string_view source, Arena& arena) : source_(source), arena_(arena) {}

  StatusOr<std::vector<Token>> Run() {
    while (pos_ < source_.size()) RETURN_IF_ERROR(Root());
    Push(TokenType::kEnd, {});
    return std::move(tokens_);
  }

 private:
  Status Root();
  Status Comment(size_t body);
  Status Raw(size_t body);
  Status Code(bool block);
  Status CodeToken();
  Status Operator();
  void Number();
  Status String();

  bool At(std::string_view text) const { return source_.substr(pos_, text.size()) == text; }
  void Advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + pos_, source_.begin() + to, '\n'));
    pos_ = to;
  }
  size_t SkipSpace(size_t from) const { return source_.size() - StripSpace(source_.substr(from), true, false).size(); }
  void Push(TokenType type, std::string_view text) { tokens_.push_back({type, line_, text}); }
  void PushData(std::string_view text) {
    if (!text.empty()) Push(TokenType::kData, text);
  }
  // Moves past a tag's end at `end`, with the newline that trim_blocks eats.
  void EndTag(size_t end, bool minus, bool trim_newline) {
    if (minus) {
      end = SkipSpace(end);
    } else if (trim_newline && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    Advance(end);
    line_starting_ = source_[end - 1] == '\n';
  }
  std::string_view StripBefore(std::string_view text, char sign, bool variable) const;
  size_t RawTagEnd(size_t begin, std::string_view name, bool* minus) const;
  size_t DigitsEnd(size_t from) const;

  std::string_view source_;
  Arena& arena_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the text since the last tag begins a line
  std::string closers_;        // brackets still open inside the current tag
  std::vector<Token> tokens_;
};

std::string_view Lexer::StripBefore(std::string_view text, char sign, bool variable) const {
  if (sign == '-') return StripSpace(text, false, true);
  if (sign == '+' || variable) return text;
  const size_t newline = text.rfind('\n');
  if (newline == std::string_view::npos && !line_starting_) return text;
  const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
  return StripSpace(text.substr(line), true, false).empty() ? text.substr(0, line) : text;
}

// When a tag that begins at `begin` is `{% name %}`: where it ends. npos otherwise.
size_t Lexer::RawTagEnd(size_t begin, std::string_view name, bool* minus) const {
  size_t at = begin + 2;
  if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
  at = SkipSpace(at);
  if (source_.substr(at, name.size()) != name) return std::string_view::npos;
  at = SkipSpace(at + name.size());
  *minus = at < source_.size() && source_[at] == '-';
  if (*minus) ++at;
  // Only endraw knows the plus sign.
  const bool plus = name == "endraw" && at < source_.size() && source_[at] == '+';
  if (source_.substr(at + (plus ? 1 : 0), 2) != "%}") return std::string_view::npos;
  return at + (plus ? 3 : 2);
}

Status Lexer::Root() {
  size_t tag = pos_;
  while (true) {
    tag = source_.find('{', tag);
    if (tag == std::string_view::npos || tag + 1 >= source_.size()) {
      PushData(source_.substr(pos_));
      Advance(source_.size());
      return OkStatus();
    }
    const char next = source_[tag + 1];
    if (next == '{' || next == '%' || next == '#') break;
    ++tag;
  }
  const char kind = source_[tag + 1];
  char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
  if (sign != '-' && sign != '+') sign = '\0';
  PushData(StripBefore(source_.substr(pos_, tag - pos_), sign, kind == '{'));
  Advance(tag);
  bool minus = false;
  if (kind == '%') {
    const size_t raw = RawTagEnd(tag, "raw", &minus);
    if (raw != std::string_view::npos) {
      EndTag(raw, minus, false);
      return Raw(pos_);
    }
  }
  line_starting_ = false;
  if (kind == '#') return Comment(tag + 2 + (sign != '\0' ? 1 : 0));
  Push(kind == '%' ? TokenType::kBlockBegin : TokenType::kVariableBegin, {});
  Advance(tag + 2 + (sign != '\0' ? 1 : 0));
  return Code(kind == '%');
}

Status Lexer::Comment(size_t body) {
  const size_t close = source_.find("#}", body);
  if (close == std::string_view::npos) return TemplateError(line_, "a comment is never closed");
  const char sign = source_[close - 1];
  const bool signed_end = close > body && (sign == '-' || sign == '+');
  EndTag(close + 2, signed_end && sign == '-', !(signed_end && sign == '+'));
  return OkStatus();
}

Status Lexer::Raw(size_t body) {
  for (size_t tag = source_.find("{%", body); tag != std::string_view::npos; tag = source_.find("{%", tag + 2)) {
    bool minus = false;
    const size_t end = RawTagEnd(tag, "endraw", &minus);
    if (end == std::string_view::npos) continue;
    const char sign = source_[tag + 2];
    PushData(StripBefore(source_.substr(body, tag - body), sign, false));
    EndTag(end, minus, source_[end - 3] != '+');
    return OkStatus();
  }
  return TemplateError(line_, "a raw block is never closed");
}

Status Lexer::Code(bool block) {
  closers_.clear();
  const std::string_view end = block ? "%}" : "}}";
  while (true) {
    Advance(SkipSpace(pos_));
    if (pos_ >= source_.size()) return TemplateError(line_, "the template ends inside a tag");
    if (closers_.empty()) {
      const char sign = source_[pos_];
      const bool is_signed = sign == '-' || (sign == '+' && block);
      const size_t at = pos_ + (is_signed ? 1 : 0);
      if (source_.substr(at, 2) == end) {
        Push(block ? TokenType::kBlockEnd : TokenType::kVariableEnd, {});
        EndTag(at + 2, sign == '-', block && sign != '+');
        return OkStatus();
      }
    }
    RETURN_IF_ERROR(CodeToken());
  }
}

Status Lexer::CodeToken() {
  const char c = source_[pos_];
  if (IsDigit(c)) {
    Number();
    return OkStatus();
  }
  if (c == '\'' || c == '"') return String();
  size_t end = pos_;
  while (end < source_.size()) {
    const Char next = CharAt(source_, end);
    if (next.code == Char::kInvalid || !IsWordChar(next.code)) break;
    end += next.size;
  }
  if (end == pos_) return Operator();
  Push(TokenType::kName, source_.substr(pos_, end - pos_));
  pos_ = end;
  return OkStatus();
}

Status Lexer::Operator() {
  for (std::string_view op : kOperators) {
    if (!At(op)) continue;
    if (op == "(") closers_.push_back(')');
    if (op == "[") closers_.push_back(']');
    if (op == "{") closers_.push_back('}');
    if (op == ")" || op == "]" || op == "}") {
      if (closers_.empty()) return TemplateError(line_, fmt::format("unexpected '{}'", op));
      if (closers_.back() != op[0]) {
        return TemplateError(line_, fmt::format("unexpected '{}', expected '{}'", op, closers_.back()));
      }
      closers_.pop_back();
    }
    Push(TokenType::kOperator, source_.substr(pos_, op.size()));
    pos_ += op.size();
    return OkStatus();
  }
  return TemplateError(line_, "unexpected character");
}

// The end of digits with single underscores between them, from a digit at `from`.
size_t Lexer::DigitsEnd(size_t from) const {
  size_t end = from;
  while (end < source_.size()) {
    if (IsDigit(source_[end])) {
      ++end;
    } else if (source_[end] == '_' && end + 1 < source_.size() && end > from && IsDigit(source_[end + 1])) {
      end += 2;
    } else {
      break;
    }
  }
  return end;
}

void Lexer::Number() {
  const auto digit_at = [&](size_t i) { return i < source_.size() && IsDigit(source_[i]); };
  size_t end = DigitsEnd(pos_);
  bool real = false;
  // After a dot (`list.0.1`) a number is an index, never a fraction.
  if (pos_ == 0 || source_[pos_ - 1] != '.') {
    if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      real = true;
      end = DigitsEnd(end + 1);
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
      if (digit_at(end + (sign ? 2 : 1))) {
        real = true;
        end = DigitsEnd(end + (sign ? 2 : 1));
      }
    }
  }
  if (!real && source_[pos_] == '0' && end == pos_ + 1 && end < source_.size()) {
    const char base = static_cast<char>(source_[end] | 0x20);
    if (base == 'x' || base == 'o' || base == 'b') {
      size_t digits = end + 1;
      while (digits < source_.size() && std::isxdigit(static_cast<unsigned char>(source_[digits]))) ++digits;
      if (digits > end + 1) end = digits;
    }
  }
  Push(real ? TokenType::kFloat : TokenType::kInteger, source_.substr(pos_, end - pos_));
  pos_ = end;
}

Status Lexer::String() {
  const char quote = source_[pos_];
  size_t end = pos_ + 1;
  bool escaped = false;
  while (end < source_.size() && source_[end] != quote) {
    escaped = escaped || source_[end] == '\\';
    end += source_[end] == '\\' ? 2 : 1;
  }
  if (end >= source_.size()) return TemplateError(line_, "a string is never closed");
  std::string_view text = source_.substr(pos_ + 1, end - pos_ - 1);
  if (escaped) {
    StatusOr<std::string> unescaped = UnescapeLiteral(text);
    if (!unescaped.ok()) return TemplateError(line_, ToStd(unescaped.status().message()));
    if (!arena_.Fits(unescaped->size())) return TemplateError(line_, "the template is too large");
    text = arena_.Copy(std::string_view(*unescaped));
  }
  Push(TokenType::kString, text);
  Advance(end + 1);
  return OkStatus();
}

}  // namespace

StatusOr<std::vector<Token>> Tokenize(std::string_view source, Arena& arena) { return Lexer(source, arena).Run(); }

std::string NormalizeNewlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text.push_back(source[i]);
    }
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Status TemplateError(int line, std::string_view what) { return InvalidArgument("template line {}: {}", line, what); }

}  // namespace bitrate::jinja
