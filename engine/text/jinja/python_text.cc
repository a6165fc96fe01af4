#include "engine/text/jinja/python_text.h"

#include <fmt/format.h>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/number_text.h"
#include "engine/text/jinja/unicode.h"

namespace bitrate::jinja {
namespace {

std::string EscapeChar(uint32_t code, char quote) {
  switch (code) {
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  if (code == static_cast<unsigned char>(quote)) return std::string("\\") + quote;
  if (code < 0x7f) return code < 0x20 ? fmt::format("\\x{:02x}", code) : std::string();
  if (code == Char::kInvalid || IsPrintableChar(code)) return {};
  if (code < 0x100) return fmt::format("\\x{:02x}", code);
  return code < 0x10000 ? fmt::format("\\u{:04x}", code) : fmt::format("\\U{:08x}", code);
}

Status AppendStringRepr(Runtime& runtime, const Str& text, TextBuilder* out) {
  RETURN_IF_ERROR(runtime.Work(4 * text.size));
  const bool single = text.view().find('\'') != std::string_view::npos;
  const char quote = single && text.view().find('"') == std::string_view::npos ? '"' : '\'';
  const bool input = text.num_ranges > 0;
  OriginCursor origin(text);
  out->Append({&quote, 1}, input);
  size_t plain = 0;
  for (size_t at = 0; at < text.size;) {
    const Char c = CharAt(text.view(), at);
    const std::string escape = EscapeChar(c.code, quote);
    if (!escape.empty()) {
      out->AppendSlice(text, plain, at);
      out->Append(escape, origin.Input(at, at + c.size));
      plain = at + c.size;
    }
    at += c.size;
  }
  out->AppendSlice(text, plain, text.size);
  out->Append({&quote, 1}, input);
  return OkStatus();
}

Status AppendListRepr(Runtime& runtime, const List& list, bool input, TextBuilder* out) {
  if (list.seq == Seq::kRange) {
    out->Append(list.step == 1 ? fmt::format("range({}, {})", list.start, list.stop)
                               : fmt::format("range({}, {}, {})", list.start, list.stop, list.step),
                input);
    return OkStatus();
  }
  if (list.seq == Seq::kGenerator) {
    out->Append("<generator>", input);
    return OkStatus();
  }
  const bool view = list.seq == Seq::kKeys || list.seq == Seq::kValues || list.seq == Seq::kItems;
  if (view)
    out->Append(list.seq == Seq::kKeys     ? "dict_keys("
                : list.seq == Seq::kValues ? "dict_values("
                                           : "dict_items(",
                input);
  out->Append(list.IsTuple() ? "(" : "[", input);
  for (size_t i = 0; i < list.size; ++i) {
    if (i > 0) out->Append(", ", input);
    RETURN_IF_ERROR(AppendRepr(runtime, list.items[i], out));
  }
  if (list.IsTuple() && list.size == 1) out->Append(",", input);
  out->Append(list.IsTuple() ? ")" : "]", input);
  if (view) out->Append(")", input);
  return OkStatus();
}

Status AppendEntriesRepr(Runtime& runtime, const Dict& dict, bool input, TextBuilder* out) {
  out->Append("{", input);
  for (size_t i = 0; i < dict.size; ++i) {
    if (i > 0) out->Append(", ", input);
    RETURN_IF_ERROR(AppendRepr(runtime, dict.entries[i].key, out));
    out->Append(": ", input);
    RETURN_IF_ERROR(AppendRepr(runtime, dict.entries[i].value, out));
  }
  out->Append("}", input);
  return OkStatus();
}

Status AppendNamespaceRepr(Runtime& runtime, const Namespace& ns, TextBuilder* out) {
  out->Append("<Namespace {", false);
  for (const NamespaceAttribute* a = ns.first; a != nullptr; a = a->next) {
    if (a != ns.first) out->Append(", ", false);
    RETURN_IF_ERROR(AppendStringRepr(runtime, *a->name, out));
    out->Append(": ", false);
    RETURN_IF_ERROR(AppendRepr(runtime, a->value, out));
  }
  out->Append("}>", false);
  return OkStatus();
}

}  // namespace

Status AppendRepr(Runtime& runtime, const Value& value, TextBuilder* out) {
  DepthScope depth(runtime);
  RETURN_IF_ERROR(depth.Enter());
  switch (value.kind) {
    case Kind::kUndefined:
      out->Append("Undefined", false);
      break;
    case Kind::kString:
      return AppendStringRepr(runtime, *value.str, out);
    case Kind::kList:
      return AppendListRepr(runtime, *value.list, value.input, out);
    case Kind::kDict:
      return AppendEntriesRepr(runtime, *value.dict, value.input, out);
    case Kind::kNamespace:
      return AppendNamespaceRepr(runtime, *value.ns, out);
    default:
      return AppendStr(runtime, value, out);
  }
  return OkStatus();
}

Status AppendStr(Runtime& runtime, const Value& value, TextBuilder* out) {
  switch (value.kind) {
    case Kind::kUndefined:
      break;
    case Kind::kNone:
      out->Append("None", value.input);
      break;
    case Kind::kBool:
      out->Append(value.boolean ? "True" : "False", value.input);
      break;
    case Kind::kInt:
      out->Append(fmt::format_int(value.integer).c_str(), value.input);
      break;
    case Kind::kUint:
      out->Append(fmt::format_int(value.unsigned_integer).c_str(), value.input);
      break;
    case Kind::kFloat:
      out->Append(FloatRepr(value.real), value.input);
      break;
    case Kind::kString:
      RETURN_IF_ERROR(runtime.Work(value.str->size));
      out->Append(*value.str);
      break;
    case Kind::kList:
    case Kind::kDict:
    case Kind::kNamespace:
      return AppendRepr(runtime, value, out);
    default:
      out->Append(fmt::format("<{}>", TypeName(value)), false);
  }
  return OkStatus();
}

StatusOr<Value> ToStr(Runtime& runtime, const Value& value) {
  if (value.IsString()) return value;
  TextBuilder text;
  RETURN_IF_ERROR(AppendStr(runtime, value, &text));
  return runtime.Finish(text);
}

}  // namespace bitrate::jinja
