// Methods that make a changed copy of a string.
#include "engine/text/jinja/string_methods.h"

#include <algorithm>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/format.h"
#include "engine/text/jinja/format_spec.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {
namespace {

// Maps each character by what `choose(code)` says; input stays input however many bytes it becomes.
template <typename Choose>
StatusOr<Value> MapChars(Interpreter& in, const Str& text, Choose choose) {
  RETURN_IF_ERROR(in.Work(16 * text.size));
  TextBuilder out;
  OriginCursor origin(text);
  std::string mapped;
  for (size_t at = 0; at < text.size;) {
    const Char c = CharAt(text.view(), at);
    const std::optional<Case> to = choose(c.code);
    if (to.has_value()) {
      mapped.clear();
      AppendCased(text.view(), at, *to, &mapped);
      out.Append(mapped, origin.Input(at, at + c.size));
    } else {
      out.AppendSlice(text, at, at + c.size);
    }
    at += c.size;
  }
  return in.Finish(out);
}

template <Case to>
StatusOr<Value> CaseMethod(Interpreter& in, const Value& self, const CallArgs& args) {
  RETURN_IF_ERROR(BindArgs(args, "the method", {}, 0).status());
  return MapCase(in, *self.str, to);
}

StatusOr<Value> SwapCase(Interpreter& in, const Value& self, const CallArgs&) {
  return MapChars(in, *self.str, [](uint32_t code) -> std::optional<Case> {
    if (IsUpperChar(code)) return Case::kLower;
    if (IsLowerChar(code)) return Case::kUpper;
    return std::nullopt;
  });
}

template <bool left, bool right>
StatusOr<Value> StripMethod(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "strip", {"chars"}, 0));
  return Strip(in, *self.str, bound[0], left, right);
}

StatusOr<Value> ReplaceMethod(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "replace", {"old", "new", "count"}, 2));
  if (!bound[0]->IsString() || !bound[1]->IsString()) return InvalidArgument("replace needs strings");
  ASSIGN_OR_RETURN(const int64_t count, bound.Integer(2, -1));
  return Replace(in, *self.str, *bound[0]->str, *bound[1]->str, count);
}

StatusOr<Value> Pad(Interpreter& in, const Value& self, const CallArgs& args, char align) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "the method", {"width", "fillchar"}, 1));
  FormatSpec spec;
  ASSIGN_OR_RETURN(spec.width, bound.Integer(0, 0));
  if (bound[1] != nullptr) {
    if (!bound[1]->IsString() || NumChars(bound[1]->text()) != 1)
      return InvalidArgument("the fill must be one character");
    spec.fill = std::string(bound[1]->text());
  }
  RETURN_IF_ERROR(in.Work(self.str->size));
  const int64_t length = static_cast<int64_t>(NumChars(self.text()));
  TextBuilder out;
  if (align == '^' && spec.width > length) {
    // Python's center puts the odd space left only when the width is odd.
    const int64_t padding = spec.width - length;
    const int64_t left = padding / 2 + (padding & spec.width & 1);
    FormatSpec before = spec;
    before.width = length + left;
    TextBuilder padded;
    AppendPadded(*self.str, before, '>', &padded);
    ASSIGN_OR_RETURN(const Value half, in.Finish(padded));
    AppendPadded(*half.str, spec, '<', &out);
  } else {
    AppendPadded(*self.str, spec, align, &out);
  }
  return in.Finish(out);
}

StatusOr<Value> LeftJustify(Interpreter& in, const Value& self, const CallArgs& args) {
  return Pad(in, self, args, '<');
}
StatusOr<Value> RightJustify(Interpreter& in, const Value& self, const CallArgs& args) {
  return Pad(in, self, args, '>');
}

StatusOr<Value> ZeroFill(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "zfill", {"width"}, 1));
  FormatSpec spec;
  spec.fill.assign(1, '0');
  ASSIGN_OR_RETURN(spec.width, bound.Integer(0, 0));
  const bool sign = self.str->size > 0 && (self.text()[0] == '-' || self.text()[0] == '+');
  TextBuilder out;
  AppendPadded(*self.str, spec, '>', &out);
  if (!sign) return in.Finish(out);
  spec.align = '=';
  TextBuilder with_sign;
  AppendPadded(*self.str, spec, '=', &with_sign);
  return in.Finish(with_sign);
}

StatusOr<Value> JoinMethod(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "join", {"iterable"}, 1));
  return Join(in, *self.str, *bound[0], false);
}

StatusOr<Value> FormatMethod(Interpreter& in, const Value& self, const CallArgs& args) {
  return FormatBraces(in, *self.str, args);
}

StatusOr<Value> ExpandTabs(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "expandtabs", {"tabsize"}, 0));
  ASSIGN_OR_RETURN(const int64_t tab, bound.Integer(0, 8));
  RETURN_IF_ERROR(in.Work(4 * self.str->size));
  TextBuilder out;
  OriginCursor origin(*self.str);
  int64_t column = 0;
  for (size_t at = 0; at < self.str->size && !out.overflow();) {
    const Char c = CharAt(self.text(), at);
    if (c.code == '\t') {
      const int64_t spaces = tab > 0 ? tab - column % tab : 0;
      for (int64_t i = 0; i < spaces && !out.overflow(); ++i) out.Append(" ", origin.Input(at, at + 1));
      column += spaces;
    } else {
      out.AppendSlice(*self.str, at, at + c.size);
      column = c.code == '\n' || c.code == '\r' ? 0 : column + 1;
    }
    at += c.size;
  }
  return in.Finish(out);
}

}  // namespace

StatusOr<Value> MapCase(Interpreter& in, const Str& text, Case to) {
  return MapChars(in, text, [to](uint32_t) -> std::optional<Case> { return to; });
}

StatusOr<Value> Capitalize(Interpreter& in, const Value& self, const CallArgs&) {
  bool first = true;
  return MapChars(in, *self.str, [&first](uint32_t) -> std::optional<Case> {
    return std::exchange(first, false) ? Case::kTitle : Case::kLower;
  });
}

StatusOr<Value> TitleMethod(Interpreter& in, const Value& self, const CallArgs&) {
  bool in_word = false;
  return MapChars(in, *self.str, [&in_word](uint32_t code) -> std::optional<Case> {
    const Case to = in_word ? Case::kLower : Case::kTitle;
    in_word = IsCasedChar(code);
    return to;
  });
}

StatusOr<Value> Strip(Interpreter& in, const Str& text, const Value* chars, bool left, bool right) {
  std::string_view kept;
  if (chars == nullptr || chars->IsNone()) {
    RETURN_IF_ERROR(in.Step());
    kept = StripSpace(text.view(), left, right);
  } else {
    if (!chars->IsString()) return InvalidArgument("strip needs a string, got '{}'", TypeName(*chars));
    const std::string_view set = chars->text();
    size_t begin = 0, end = text.size;
    const auto has = [&](size_t at, size_t to) {
      return FindText(set, text.view().substr(at, to - at), 0) != std::string_view::npos;
    };
    while (left && begin < end && has(begin, begin + CharAt(text.view(), begin).size)) {
      RETURN_IF_ERROR(in.Work(set.size()));
      begin += CharAt(text.view(), begin).size;
    }
    while (right && begin < end && has(CharBefore(text.view(), end), end)) {
      RETURN_IF_ERROR(in.Work(set.size()));
      end = CharBefore(text.view(), end);
    }
    kept = text.view().substr(begin, end - begin);
  }
  const size_t begin = kept.empty() ? 0 : static_cast<size_t>(kept.data() - text.data);
  RETURN_IF_ERROR(in.Work(text.size - kept.size()));
  return in.Slice(text, begin, begin + kept.size());
}

StatusOr<Value> Replace(Interpreter& in, const Str& text, const Str& from, const Str& to, int64_t count) {
  RETURN_IF_ERROR(in.Work(text.size));
  TextBuilder out;
  size_t at = 0;
  size_t search = 0;
  while (count != 0) {
    RETURN_IF_ERROR(in.Work(from.size + to.size));
    const size_t found = FindText(text.view(), from.view(), search);
    if (found == std::string_view::npos) break;
    out.AppendSlice(text, at, found);
    out.Append(to);
    if (count > 0) --count;
    at = found + from.size;
    search = at;
    if (from.size == 0) {  // between all characters
      if (found >= text.size) break;
      search = found + CharAt(text.view(), found).size;
    }
  }
  out.AppendSlice(text, std::min(at, text.size), text.size);
  return in.Finish(out);
}

StatusOr<Value> Center(Interpreter& in, const Value& self, const CallArgs& args) { return Pad(in, self, args, '^'); }

StatusOr<Value> Join(Interpreter& in, const Str& separator, const Value& items, bool convert) {
  ASSIGN_OR_RETURN(const Items parts, Iterate(in, items));
  TextBuilder out;
  for (size_t i = 0; i < parts.size; ++i) {
    RETURN_IF_ERROR(in.Work(separator.size));
    if (i > 0) out.Append(separator);
    if (!convert && !parts.data[i].IsString()) {
      return InvalidArgument("join: item {} is no string but '{}'", i, TypeName(parts.data[i]));
    }
    RETURN_IF_ERROR(AppendStr(in, parts.data[i], &out));
  }
  return in.Finish(out);
}

FilterFn FindStringMethod(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kMethods[] = {
      {"strip", StripMethod<true, true>},
      {"lstrip", StripMethod<true, false>},
      {"rstrip", StripMethod<false, true>},
      {"upper", CaseMethod<Case::kUpper>},
      {"lower", CaseMethod<Case::kLower>},
      {"casefold", CaseMethod<Case::kFold>},
      {"capitalize", Capitalize},
      {"title", TitleMethod},
      {"swapcase", SwapCase},
      {"replace", ReplaceMethod},
      {"join", JoinMethod},
      {"format", FormatMethod},
      {"center", Center},
      {"ljust", LeftJustify},
      {"rjust", RightJustify},
      {"zfill", ZeroFill},
      {"expandtabs", ExpandTabs},
  };
  if (FilterFn method = FindNamedFunction(kMethods, name)) return method;
  if (FilterFn method = FindSplitMethod(name)) return method;
  if (FilterFn method = FindSearchMethod(name)) return method;
  return FindClassMethod(name);
}

}  // namespace bitrate::jinja
