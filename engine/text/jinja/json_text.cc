#include "engine/text/jinja/json_text.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/number_text.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"

namespace bitrate::jinja {
namespace {

std::string JsonEscape(uint32_t code, bool ensure_ascii) {
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  if (code < 0x20) return fmt::format("\\u{:04x}", code);
  if (!ensure_ascii || code < 0x7f || code == Char::kInvalid) return {};
  if (code < 0x10000) return fmt::format("\\u{:04x}", code);
  return fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style, TextBuilder* out)
      : runtime_(runtime), style_(style), out_(out) {}

  Status Write(const Value& value) {
    DepthScope depth(runtime_);
    RETURN_IF_ERROR(depth.Enter());
    switch (value.kind) {
      case Kind::kNone:
        out_->Append("null", value.input);
        return OkStatus();
      case Kind::kBool:
        out_->Append(value.boolean ? "true" : "false", value.input);
        return OkStatus();
      case Kind::kInt:
      case Kind::kUint:
        return AppendStr(runtime_, value, out_);
      case Kind::kFloat:
        out_->Append(Number(value.real), value.input);
        return OkStatus();
      case Kind::kString:
        return WriteString(*value.str);
      case Kind::kList:
        if (value.list->seq == Seq::kList || value.list->IsTuple()) return WriteList(*value.list, value.input);
        break;
      case Kind::kDict:
        return WriteDict(*value.dict, value.input);
      default:
        break;
    }
    return InvalidArgument("tojson: '{}' has no JSON", TypeName(value));
  }

 private:
  static std::string Number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return FloatRepr(value);
  }

  Status WriteString(const Str& text) {
    RETURN_IF_ERROR(runtime_.Work(4 * text.size));
    OriginCursor origin(text);
    const bool input = text.num_ranges > 0;
    out_->Append("\"", input);
    size_t plain = 0;
    for (size_t at = 0; at < text.size;) {
      const Char c = CharAt(text.view(), at);
      const std::string escape = JsonEscape(c.code, style_.ensure_ascii);
      if (!escape.empty()) {
        out_->AppendSlice(text, plain, at);
        out_->Append(escape, origin.Input(at, at + c.size));
        plain = at + c.size;
      }
      at += c.size;
    }
    out_->AppendSlice(text, plain, text.size);
    out_->Append("\"", input);
    return OkStatus();
  }

  void Newline(bool input) {
    if (!style_.indent.has_value()) return;
    out_->Append("\n", input);
    for (int i = 0; i < level_; ++i) out_->Append(*style_.indent, input);
  }

  Status WriteList(const List& list, bool input) {
    if (list.size == 0) {
      out_->Append("[]", input);
      return OkStatus();
    }
    out_->Append("[", input);
    ++level_;
    for (size_t i = 0; i < list.size; ++i) {
      if (i > 0) out_->Append(style_.item_separator, input);
      Newline(input);
      RETURN_IF_ERROR(Write(list.items[i]));
    }
    --level_;
    Newline(input);
    out_->Append("]", input);
    return OkStatus();
  }

  Status WriteKey(const Value& key) {
    if (key.IsString()) return WriteString(*key.str);
    out_->Append("\"", key.input);
    if (!key.IsNone() && !key.IsNumber()) return InvalidArgument("tojson: '{}' cannot be a key", TypeName(key));
    RETURN_IF_ERROR(Write(key));
    out_->Append("\"", key.input);
    return OkStatus();
  }

  Status WriteDict(const Dict& dict, bool input) {
    if (dict.size == 0) {
      out_->Append("{}", input);
      return OkStatus();
    }
    std::vector<size_t> order;
    if (style_.sort_keys) RETURN_IF_ERROR(SortKeys(dict, &order));
    out_->Append("{", input);
    ++level_;
    for (size_t i = 0; i < dict.size; ++i) {
      if (i > 0) out_->Append(style_.item_separator, input);
      Newline(input);
      const DictEntry& entry = dict.entries[style_.sort_keys ? order[i] : i];
      RETURN_IF_ERROR(WriteKey(entry.key));
      out_->Append(style_.key_separator, input);
      RETURN_IF_ERROR(Write(entry.value));
    }
    --level_;
    Newline(input);
    out_->Append("}", input);
    return OkStatus();
  }

  [[gnu::noinline]] Status SortKeys(const Dict& dict, std::vector<size_t>* order) {
    std::vector<Value> keys;
    for (size_t i = 0; i < dict.size; ++i) keys.push_back(dict.entries[i].key);
    ASSIGN_OR_RETURN(*order, SortedOrder(runtime_, keys, false));
    return OkStatus();
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextBuilder* out_;
  int level_ = 0;
};

}  // namespace

Status AppendJson(Runtime& runtime, const Value& value, const JsonStyle& style, TextBuilder* out) {
  return JsonWriter(runtime, style, out).Write(value);
}

}  // namespace bitrate::jinja
