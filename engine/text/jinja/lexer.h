// From template text to tokens, with Jinja's whitespace rules as chat templates use them: trim_blocks, lstrip_blocks,
// one trailing newline dropped, `-` and `+` signs. Pure function; linear in the source; no recursion.
// Errors: INVALID_ARGUMENT with the line.
#ifndef BITRATE_ENGINE_TEXT_JINJA_LEXER_H_
#define BITRATE_ENGINE_TEXT_JINJA_LEXER_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/jinja/arena.h"

namespace bitrate::jinja {

enum class TokenType : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 1;
  std::string_view text;  // kString: unescaped
  bool IsName(std::string_view name) const { return type == TokenType::kName && text == name; }
  bool IsOperator(std::string_view op) const { return type == TokenType::kOperator && text == op; }
};

// `source` has '\n' line ends only (NormalizeNewlines) and outlives the tokens; unescaped strings go to `arena`.
// The last token is kEnd.
StatusOr<std::vector<Token>> Tokenize(std::string_view source, Arena& arena);

// "\r\n" and "\r" become "\n", and one newline at the very end is dropped.
std::string NormalizeNewlines(std::string_view source);

Status TemplateError(int line, std::string_view what);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_LEXER_H_
