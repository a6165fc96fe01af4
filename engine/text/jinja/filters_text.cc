// Filters of strings. Like Jinja's they first make a string of whatever they are given.
#include <algorithm>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/format.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/jinja/string_methods.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {
namespace {

template <Case to>
StatusOr<Value> CaseFilter(Interpreter& in, const Value& value, const CallArgs& args) {
  RETURN_IF_ERROR(BindArgs(args, "the filter", {}, 0).status());
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  return MapCase(in, *text.str, to);
}

StatusOr<Value> CapitalizeFilter(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  return Capitalize(in, text, args);
}

bool StartsWord(uint32_t code) {
  return code == '-' || code == '(' || code == '{' || code == '[' || code == '<' || IsSpace(code);
}

// Unlike str.title, only space and opening brackets begin a word: "it's" stays one.
StatusOr<Value> Title(Interpreter& in, const Value& value, const CallArgs&) {
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  RETURN_IF_ERROR(in.Work(16 * text.str->size));
  TextBuilder out;
  OriginCursor origin(*text.str);
  bool first = true;
  std::string mapped;
  for (size_t at = 0; at < text.str->size;) {
    const Char c = CharAt(text.text(), at);
    mapped.clear();
    AppendCased(text.text(), at, first ? Case::kUpper : Case::kLower, &mapped);
    out.Append(mapped, origin.Input(at, at + c.size));
    first = StartsWord(c.code);
    at += c.size;
  }
  return in.Finish(out);
}

StatusOr<Value> Trim(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "trim", {"chars"}, 0));
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  return Strip(in, *text.str, bound[0], true, true);
}

StatusOr<Value> ReplaceFilter(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "replace", {"old", "new", "count"}, 2));
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  ASSIGN_OR_RETURN(const Value from, ToStr(in, *bound[0]));
  ASSIGN_OR_RETURN(const Value to, ToStr(in, *bound[1]));
  int64_t count = -1;
  if (bound[2] != nullptr && !bound[2]->IsNone()) {
    ASSIGN_OR_RETURN(count, bound.Integer(2, -1));
  }
  return Replace(in, *text.str, *from.str, *to.str, count);
}

StatusOr<Value> Escape(Interpreter& in, const Value& value, const CallArgs&) {
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  RETURN_IF_ERROR(in.Work(4 * text.str->size));
  TextBuilder out;
  OriginCursor origin(*text.str);
  for (size_t at = 0; at < text.str->size; ++at) {
    std::string_view entity;
    switch (text.text()[at]) {
      case '&':
        entity = "&amp;";
        break;
      case '<':
        entity = "&lt;";
        break;
      case '>':
        entity = "&gt;";
        break;
      case '\'':
        entity = "&#39;";
        break;
      case '"':
        entity = "&#34;";
        break;
      default:
        out.AppendSlice(*text.str, at, at + 1);
        continue;
    }
    out.Append(entity, origin.Input(at, at + 1));
  }
  return in.Finish(out);
}

StatusOr<Value> Indent(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "indent", {"width", "first", "blank"}, 0));
  if (!value.IsString()) return InvalidArgument("indent needs a string, got '{}'", TypeName(value));
  Value margin;
  if (bound[0] != nullptr && bound[0]->IsString()) {
    margin = *bound[0];
  } else {
    ASSIGN_OR_RETURN(const int64_t width, bound.Integer(0, 4));
    ASSIGN_OR_RETURN(margin, Arithmetic(in, Op::kMultiply, in.Literal(" "), Value::Int(width)));
  }
  // Jinja adds a newline before it splits, so that a final newline yields one more (empty) line.
  ASSIGN_OR_RETURN(const Value ended, Arithmetic(in, Op::kAdd, value, in.Literal("\n")));
  ASSIGN_OR_RETURN(const std::vector<Value> lines, SplitLines(in, *ended.str, false));
  const bool blank = bound.Flag(2, false);
  TextBuilder out;
  for (size_t i = 0; i < lines.size(); ++i) {
    RETURN_IF_ERROR(in.Work(margin.str->size));
    if (i > 0) out.Append("\n", false);
    const bool indented = i == 0 ? bound.Flag(1, false) : blank || lines[i].str->size > 0;
    if (indented) out.Append(*margin.str);
    out.Append(*lines[i].str);
  }
  return in.Finish(out);
}

StatusOr<Value> Truncate(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "truncate", {"length", "killwords", "end", "leeway"}, 0));
  if (value.IsUndefined()) return in.Literal({});
  if (!value.IsString()) return InvalidArgument("truncate needs a string, got '{}'", TypeName(value));
  ASSIGN_OR_RETURN(const int64_t length, bound.Integer(0, 255));
  ASSIGN_OR_RETURN(const Value end, ToStr(in, bound.Or(2, in.Literal("..."))));
  int64_t leeway = 5;
  if (bound[3] != nullptr && !bound[3]->IsNone()) {
    ASSIGN_OR_RETURN(leeway, bound.Integer(3, 5));
  }
  const int64_t end_length = static_cast<int64_t>(NumChars(end.text()));
  if (length < end_length || leeway < 0 || length > (int64_t{1} << 40) || leeway > (int64_t{1} << 40)) {
    return InvalidArgument("truncate: the length must cover the end, the leeway must not be negative");
  }
  RETURN_IF_ERROR(in.Work(4 * value.str->size));
  if (static_cast<int64_t>(NumChars(value.text())) <= length + leeway) return value;
  size_t cut = ByteOfChar(value.text(), static_cast<size_t>(length - end_length));
  if (!bound.Flag(1, false)) cut = std::min(cut, value.text().substr(0, cut).rfind(' '));
  TextBuilder out;
  out.AppendSlice(*value.str, 0, cut);
  out.Append(*end.str);
  return in.Finish(out);
}

StatusOr<Value> FormatFilter(Interpreter& in, const Value& value, const CallArgs& args) {
  if (!args.positional.empty() && !args.named.empty()) {
    return InvalidArgument("format takes positional or named arguments, not both");
  }
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  std::vector<DictEntry> entries;
  for (const NamedValue& named : args.named) entries.push_back({Value::Of(named.name), named.value});
  StatusOr<Value> values =
      entries.empty() ? in.MakeList(args.positional, Seq::kTuple, false) : MakeDict(in, entries, false);
  ASSIGN_OR_RETURN(const Value given, std::move(values));
  return FormatPercent(in, *text.str, given);
}

StatusOr<Value> CenterFilter(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "center", {"width"}, 0));
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  CallArgs width;
  width.positional.push_back(bound.Or(0, Value::Int(80)));
  return Center(in, text, width);
}

StatusOr<Value> WordCount(Interpreter& in, const Value& value, const CallArgs&) {
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  RETURN_IF_ERROR(in.Work(8 * text.str->size));
  int64_t words = 0;
  bool in_word = false;
  for (size_t at = 0; at < text.str->size;) {
    const Char c = CharAt(text.text(), at);
    const bool word = c.code != Char::kInvalid && IsWordChar(c.code);
    words += word && !in_word ? 1 : 0;
    in_word = word;
    at += c.size;
  }
  return Value::Int(words, FromInput(text));
}

StatusOr<Value> UrlEncode(Interpreter& in, const Value& value, const CallArgs&) {
  static constexpr std::string_view kSafe = "_.-~/";
  if (value.IsList() || value.IsDict()) return InvalidArgument("urlencode of a list or dict is not supported");
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  RETURN_IF_ERROR(in.Work(4 * text.str->size));
  TextBuilder out;
  OriginCursor origin(*text.str);
  for (size_t at = 0; at < text.str->size; ++at) {
    const unsigned char c = static_cast<unsigned char>(text.text()[at]);
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (alnum || kSafe.find(static_cast<char>(c)) != std::string_view::npos) {
      out.AppendSlice(*text.str, at, at + 1);
    } else {
      out.Append(fmt::format("%{:02X}", c), origin.Input(at, at + 1));
    }
  }
  return in.Finish(out);
}

StatusOr<Value> String(Interpreter& in, const Value& value, const CallArgs&) { return ToStr(in, value); }

}  // namespace

FilterFn FindTextFilter(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kFilters[] = {
      {"upper", CaseFilter<Case::kUpper>},
      {"lower", CaseFilter<Case::kLower>},
      {"capitalize", CapitalizeFilter},
      {"title", Title},
      {"trim", Trim},
      {"replace", ReplaceFilter},
      {"escape", Escape},
      {"e", Escape},
      {"forceescape", Escape},
      {"indent", Indent},
      {"truncate", Truncate},
      {"format", FormatFilter},
      {"center", CenterFilter},
      {"wordcount", WordCount},
      {"urlencode", UrlEncode},
      {"string", String},
      {"safe", String},
  };
  return FindNamedFunction(kFilters, name);
}

}  // namespace bitrate::jinja
