// Methods that cut a string into pieces.
#include <algorithm>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/string_methods.h"

namespace bitrate::jinja {
namespace {

struct Pieces {
  Interpreter& in;
  const Str& text;
  std::vector<Value> items;
  Status Add(size_t begin, size_t end) {
    ASSIGN_OR_RETURN(const Value piece, in.Slice(text, begin, end));
    items.push_back(piece);
    return OkStatus();
  }
  StatusOr<Value> List() { return in.MakeList(items, Seq::kList, text.num_ranges > 0); }
};

StatusOr<Value> SplitSpace(Interpreter& in, const Str& text, int64_t limit) {
  Pieces pieces{in, text, {}};
  size_t at = 0;
  while (true) {
    at = text.size - StripSpace(text.view().substr(at), true, false).size();
    if (at == text.size) break;
    if (limit-- == 0) {
      RETURN_IF_ERROR(pieces.Add(at, text.size));
      break;
    }
    size_t end = at;
    while (end < text.size) {
      const Char c = CharAt(text.view(), end);
      if (IsSpace(c.code)) break;
      end += c.size;
    }
    RETURN_IF_ERROR(pieces.Add(at, end));
    at = end;
  }
  return pieces.List();
}

StatusOr<Value> SplitSpaceFromRight(Interpreter& in, const Str& text, int64_t limit) {
  Pieces pieces{in, text, {}};
  size_t end = text.size;
  while (true) {
    end = StripSpace(text.view().substr(0, end), false, true).size();
    if (end == 0) break;
    if (limit-- == 0) {
      RETURN_IF_ERROR(pieces.Add(0, end));
      break;
    }
    size_t begin = end;
    while (begin > 0) {
      const size_t before = CharBefore(text.view(), begin);
      if (IsSpace(CharAt(text.view(), before).code)) break;
      begin = before;
    }
    RETURN_IF_ERROR(pieces.Add(begin, end));
    end = begin;
  }
  std::reverse(pieces.items.begin(), pieces.items.end());
  return pieces.List();
}

// The last place where `needle` begins and ends at or before byte `end`.
StatusOr<size_t> FindLast(Interpreter& in, std::string_view text, std::string_view needle, size_t end) {
  for (size_t at = end; at >= needle.size(); --at) {
    RETURN_IF_ERROR(in.Work(needle.size()));
    if (text.substr(at - needle.size(), needle.size()) == needle) return at - needle.size();
    if (at == 0) break;
  }
  return std::string_view::npos;
}

StatusOr<Value> SplitText(Interpreter& in, const Str& text, const Str& by, int64_t limit) {
  Pieces pieces{in, text, {}};
  size_t at = 0;
  for (; limit != 0; --limit) {
    RETURN_IF_ERROR(in.Work(by.size));
    const size_t found = FindText(text.view(), by.view(), at);
    if (found == std::string_view::npos) break;
    RETURN_IF_ERROR(pieces.Add(at, found));
    at = found + by.size;
  }
  RETURN_IF_ERROR(pieces.Add(at, text.size));
  return pieces.List();
}

StatusOr<Value> SplitTextFromRight(Interpreter& in, const Str& text, const Str& by, int64_t limit) {
  Pieces pieces{in, text, {}};
  size_t end = text.size;
  for (; limit != 0; --limit) {
    ASSIGN_OR_RETURN(const size_t found, FindLast(in, text.view(), by.view(), end));
    if (found == std::string_view::npos) break;
    RETURN_IF_ERROR(pieces.Add(found + by.size, end));
    end = found;
  }
  RETURN_IF_ERROR(pieces.Add(0, end));
  std::reverse(pieces.items.begin(), pieces.items.end());
  return pieces.List();
}

template <bool from_right>
StatusOr<Value> SplitMethod(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "split", {"sep", "maxsplit"}, 0));
  ASSIGN_OR_RETURN(const int64_t limit, bound.Integer(1, -1));
  const Str& text = *self.str;
  RETURN_IF_ERROR(in.Work(2 * text.size));
  if (bound[0] == nullptr || bound[0]->IsNone()) {
    return from_right && limit >= 0 ? SplitSpaceFromRight(in, text, limit) : SplitSpace(in, text, limit);
  }
  if (!bound[0]->IsString()) return InvalidArgument("split needs a string, got '{}'", TypeName(*bound[0]));
  if (bound[0]->str->size == 0) return InvalidArgument("split: empty separator");
  return from_right && limit >= 0 ? SplitTextFromRight(in, text, *bound[0]->str, limit)
                                  : SplitText(in, text, *bound[0]->str, limit);
}

StatusOr<Value> SplitLinesMethod(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "splitlines", {"keepends"}, 0));
  ASSIGN_OR_RETURN(const std::vector<Value> lines, SplitLines(in, *self.str, bound.Flag(0, false)));
  return in.MakeList(lines, Seq::kList, self.str->num_ranges > 0);
}

template <bool from_right>
StatusOr<Value> Partition(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "partition", {"sep"}, 1));
  if (!bound[0]->IsString() || bound[0]->str->size == 0) return InvalidArgument("partition needs a separator");
  const Str& text = *self.str;
  const Str& by = *bound[0]->str;
  RETURN_IF_ERROR(in.Work(text.size + by.size));
  size_t found = std::string_view::npos;
  if (from_right) {
    ASSIGN_OR_RETURN(found, FindLast(in, text.view(), by.view(), text.size));
  } else {
    found = FindText(text.view(), by.view(), 0);
  }
  std::vector<Value> parts(3, in.Literal({}));
  if (found == std::string_view::npos) {
    parts[from_right ? 2 : 0] = self;
  } else {
    ASSIGN_OR_RETURN(parts[0], in.Slice(text, 0, found));
    ASSIGN_OR_RETURN(parts[1], in.Slice(text, found, found + by.size));
    ASSIGN_OR_RETURN(parts[2], in.Slice(text, found + by.size, text.size));
  }
  return in.MakeList(parts, Seq::kTuple, text.num_ranges > 0);
}

}  // namespace

StatusOr<std::vector<Value>> SplitLines(Interpreter& in, const Str& text, bool keep_ends) {
  RETURN_IF_ERROR(in.Work(4 * text.size));
  Pieces pieces{in, text, {}};
  size_t begin = 0;
  for (size_t at = 0; at < text.size;) {
    const Char c = CharAt(text.view(), at);
    if (!IsLineBreak(c.code)) {
      at += c.size;
      continue;
    }
    const size_t end = at;
    at += c.size;
    if (c.code == '\r' && at < text.size && text.data[at] == '\n') ++at;
    RETURN_IF_ERROR(pieces.Add(begin, keep_ends ? at : end));
    begin = at;
  }
  if (begin < text.size) RETURN_IF_ERROR(pieces.Add(begin, text.size));
  return std::move(pieces.items);
}

FilterFn FindSplitMethod(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kMethods[] = {
      {"split", SplitMethod<false>},   {"rsplit", SplitMethod<true>},   {"splitlines", SplitLinesMethod},
      {"partition", Partition<false>}, {"rpartition", Partition<true>},
  };
  return FindNamedFunction(kMethods, name);
}

}  // namespace bitrate::jinja
