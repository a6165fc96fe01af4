// Methods that look for one string in another. Positions are characters, as in Python.
#include <algorithm>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/string_methods.h"

namespace bitrate::jinja {
namespace {

// The bytes of text[start:end], as arguments `first` and `first + 1` give it. `outside`: start lies past the end.
struct Window {
  size_t begin = 0, end = 0;
  bool outside = false;
};

StatusOr<Window> FindWindow(Interpreter& in, const Str& text, const Bound& bound, size_t first) {
  Window window{0, text.size, false};
  if (bound[first] == nullptr && bound[first + 1] == nullptr) return window;
  RETURN_IF_ERROR(in.Work(4 * text.size));
  const int64_t length = static_cast<int64_t>(NumChars(text.view()));
  int64_t places[2] = {0, length};
  for (size_t i = 0; i < 2; ++i) {
    const Value* given = bound[first + i];
    if (given == nullptr || given->IsNone()) continue;
    if (!given->IsInteger()) return InvalidArgument("positions must be integers or none");
    places[i] = given->AsInt();
    if (places[i] < 0) places[i] = std::max<int64_t>(places[i] < -length ? 0 : places[i] + length, 0);
  }
  window.outside = places[0] > length || places[0] > std::min(places[1], length);
  window.begin = ByteOfChar(text.view(), static_cast<size_t>(std::min(places[0], length)));
  window.end = std::max(window.begin, ByteOfChar(text.view(), static_cast<size_t>(std::min(places[1], length))));
  return window;
}

StatusOr<Bound> BindSearch(const CallArgs& args, std::string_view name) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, name, {"sub", "start", "end"}, 1));
  return bound;
}

StatusOr<int64_t> FindPlace(Interpreter& in, const Value& self, const CallArgs& args, bool last) {
  ASSIGN_OR_RETURN(const Bound bound, BindSearch(args, "find"));
  if (!bound[0]->IsString()) return InvalidArgument("find needs a string, got '{}'", TypeName(*bound[0]));
  const Str& text = *self.str;
  ASSIGN_OR_RETURN(const Window window, FindWindow(in, text, bound, 1));
  if (window.outside) return -1;
  const std::string_view needle = bound[0]->text();
  const std::string_view within = text.view().substr(0, window.end);
  RETURN_IF_ERROR(in.Work(2 * text.size + needle.size()));
  size_t found = FindText(within, needle, window.begin);
  if (last && needle.empty()) found = window.end;
  for (size_t next = found; last && !needle.empty() && next != std::string_view::npos;) {
    RETURN_IF_ERROR(in.Work(needle.size()));
    found = next;
    next = FindText(within, needle, next + 1);
  }
  if (found == std::string_view::npos) return -1;
  return static_cast<int64_t>(NumChars(text.view().substr(0, found)));
}

template <bool last, bool must>
StatusOr<Value> FindMethod(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const int64_t place, FindPlace(in, self, args, last));
  if (must && place < 0) return InvalidArgument("substring not found");
  return Value::Int(place, self.str->num_ranges > 0);
}

StatusOr<Value> Count(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindSearch(args, "count"));
  if (!bound[0]->IsString()) return InvalidArgument("count needs a string, got '{}'", TypeName(*bound[0]));
  const Str& text = *self.str;
  ASSIGN_OR_RETURN(const Window window, FindWindow(in, text, bound, 1));
  RETURN_IF_ERROR(in.Work(2 * text.size));
  if (window.outside) return Value::Int(0);
  const std::string_view needle = bound[0]->text();
  const std::string_view within = text.view().substr(0, window.end);
  int64_t count = 0;
  if (needle.empty()) {
    count = static_cast<int64_t>(NumChars(within.substr(window.begin))) + 1;
  } else {
    for (size_t at = window.begin; (at = FindText(within, needle, at)) != std::string_view::npos; at += needle.size()) {
      RETURN_IF_ERROR(in.Work(needle.size()));
      ++count;
    }
  }
  return Value::Int(count, text.num_ranges > 0);
}

template <bool at_end>
StatusOr<Value> StartsOrEnds(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound,
                   BindArgs(args, at_end ? "endswith" : "startswith", {"prefix", "start", "end"}, 1));
  ASSIGN_OR_RETURN(const Window window, FindWindow(in, *self.str, bound, 1));
  const std::string_view text = self.text().substr(window.begin, window.end - window.begin);
  const bool tuple = bound[0]->IsList() && bound[0]->list->IsTuple();
  const Value* options = tuple ? bound[0]->list->items : bound[0];
  for (size_t i = 0; i < (tuple ? bound[0]->list->size : 1); ++i) {
    if (!options[i].IsString()) return InvalidArgument("startswith and endswith need a string or a tuple of strings");
    const std::string_view part = options[i].text();
    RETURN_IF_ERROR(in.Work(part.size()));
    if (part.size() > text.size() || window.outside) continue;
    if ((at_end ? text.substr(text.size() - part.size()) : text.substr(0, part.size())) == part) {
      return Value::Bool(true);
    }
  }
  return Value::Bool(false);
}

template <bool at_end>
StatusOr<Value> RemoveAffix(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "removeprefix", {"affix"}, 1));
  if (!bound[0]->IsString()) return InvalidArgument("removeprefix and removesuffix need a string");
  const std::string_view text = self.text();
  const std::string_view part = bound[0]->text();
  RETURN_IF_ERROR(in.Work(part.size()));
  if (part.empty() || part.size() > text.size()) return self;
  if (at_end) return text.ends_with(part) ? in.Slice(*self.str, 0, text.size() - part.size()) : StatusOr<Value>(self);
  return text.starts_with(part) ? in.Slice(*self.str, part.size(), text.size()) : StatusOr<Value>(self);
}

}  // namespace

FilterFn FindSearchMethod(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kMethods[] = {
      {"find", FindMethod<false, false>},
      {"rfind", FindMethod<true, false>},
      {"index", FindMethod<false, true>},
      {"rindex", FindMethod<true, true>},
      {"count", Count},
      {"startswith", StartsOrEnds<false>},
      {"endswith", StartsOrEnds<true>},
      {"removeprefix", RemoveAffix<false>},
      {"removesuffix", RemoveAffix<true>},
  };
  return FindNamedFunction(kMethods, name);
}

}  // namespace bitrate::jinja
