#include "engine/text/jinja/subscript.h"

#include <algorithm>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/number_text.h"
#include "engine/text/jinja/operators.h"

namespace bitrate::jinja {
namespace {

bool HasMethod(const Value& object, std::string_view name) {
  switch (object.kind) {
    case Kind::kString:
      return FindStringMethod(name) != nullptr;
    case Kind::kList:
    case Kind::kDict:
      return FindContainerMethod(object, name) != nullptr;
    case Kind::kLoop:
      return name == "cycle" || name == "changed";
    case Kind::kCycler:
      return name == "next" || name == "reset";
    default:
      return false;
  }
}

// Attributes that are values: of loops, cyclers, groups and macros. False when there is none.
bool FindProperty(Runtime& runtime, const Value& object, std::string_view name, Value* out) {
  if (object.kind == Kind::kLoop) return LoopProperty(*object.loop, name, out);
  if (object.kind == Kind::kCycler && name == "current") {
    *out = object.cycler->items[object.cycler->position];
    return true;
  }
  if (object.kind == Kind::kMacro && name == "name" && object.macro->def->text != nullptr) {
    *out = Value::Of(object.macro->def->text);
    return true;
  }
  if (object.IsList() && object.list->seq == Seq::kGroup && (name == "grouper" || name == "list")) {
    *out = object.list->items[name == "list" ? 1 : 0];
    return true;
  }
  return false;
}

const Value* FindNamespaceAttribute(const Namespace& ns, std::string_view name) {
  for (const NamespaceAttribute* a = ns.first; a != nullptr; a = a->next) {
    if (a->name->view() == name) return &a->value;
  }
  return nullptr;
}

Value MakeMethod(Runtime& runtime, const Value& self, const Str& name) {
  Value method;
  method.kind = Kind::kMethod;
  method.method = runtime.arena().New<Method>(self, &name);
  return method;
}

bool ChangesItsDict(const Value& object, std::string_view name) {
  static constexpr std::string_view kChanging[] = {"pop", "popitem", "update", "setdefault", "clear", "fromkeys"};
  return object.IsDict() && std::find(std::begin(kChanging), std::end(kChanging), name) != std::end(kChanging);
}

// Python's slice.indices for a sequence of `size` items.
struct SliceRange {
  int64_t start, stop, step;
  size_t Count() const {
    if (step > 0) return stop > start ? static_cast<size_t>((stop - start - 1) / step + 1) : 0;
    return start > stop ? static_cast<size_t>((start - stop - 1) / -step + 1) : 0;
  }
};

bool IsSliceIndex(const Value& value) { return value.IsNone() || value.IsInteger(); }

StatusOr<SliceRange> ResolveSlice(const Value& start, const Value& stop, const Value& step, int64_t size) {
  SliceRange range = {0, size, 1};
  if (!step.IsNone()) range.step = step.AsInt();
  if (range.step == 0) return InvalidArgument("slice step cannot be zero");
  // A longer step than the sequence takes one item whatever its size; clamping keeps the arithmetic in range.
  range.step = std::clamp<int64_t>(range.step, -(size + 1), size + 1);
  const bool back = range.step < 0;
  const auto clamp = [&](int64_t index) {
    if (index < 0) index = index < -size ? -1 : index + size;
    return std::clamp<int64_t>(index, back ? -1 : 0, back ? size - 1 : size);
  };
  range.start = start.IsNone() ? (back ? size - 1 : 0) : clamp(start.AsInt());
  range.stop = stop.IsNone() ? (back ? -1 : size) : clamp(stop.AsInt());
  return range;
}

StatusOr<Value> SliceString(Runtime& runtime, const Str& text, const Value& start, const Value& stop,
                            const Value& step) {
  RETURN_IF_ERROR(runtime.Work(2 * text.size));
  const size_t length = NumChars(text.view());
  ASSIGN_OR_RETURN(const SliceRange range, ResolveSlice(start, stop, step, static_cast<int64_t>(length)));
  const size_t count = range.Count();
  if (count == 0) return runtime.Literal({});
  if (range.step == 1) {
    const size_t begin = ByteOfChar(text.view(), static_cast<size_t>(range.start));
    const size_t size = ByteOfChar(text.view().substr(begin), count);
    return runtime.Slice(text, begin, begin + size);
  }
  std::vector<size_t> starts;  // byte of each character
  RETURN_IF_ERROR(runtime.Reserve(length * sizeof(size_t)));
  starts.reserve(length + 1);
  for (size_t at = 0; at < text.size; at += CharAt(text.view(), at).size) starts.push_back(at);
  starts.push_back(text.size);
  TextBuilder out;
  for (size_t i = 0; i < count; ++i) {
    const size_t at = static_cast<size_t>(range.start + static_cast<int64_t>(i) * range.step);
    out.AppendSlice(text, starts[at], starts[at + 1]);
  }
  return runtime.Finish(out);
}

StatusOr<Value> IndexString(Runtime& runtime, const Str& text, int64_t index, const Value& missing) {
  RETURN_IF_ERROR(runtime.Work(text.size));
  if (index < 0) index += static_cast<int64_t>(NumChars(text.view()));
  if (index < 0) return missing;
  const size_t begin = ByteOfChar(text.view(), static_cast<size_t>(index));
  if (begin >= text.size) return missing;
  return runtime.Slice(text, begin, begin + CharAt(text.view(), begin).size);
}

// The part of a path between commas.
StatusOr<Value> GetDottedPath(Runtime& runtime, const Value& object, const Str& whole, size_t begin, size_t end) {
  Value value = object;
  while (begin <= end) {
    const size_t dot = std::min(whole.view().substr(0, end).find('.', begin), end);
    const std::string_view part = whole.view().substr(begin, dot - begin);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    const std::optional<int64_t> index = number ? ParseInteger(part, 10) : std::nullopt;
    ASSIGN_OR_RETURN(value, GetItem(runtime, value, index.has_value() ? Value::Int(*index) : runtime.Literal(part)));
    begin = dot + 1;
  }
  return value;
}

}  // namespace

StatusOr<Value> GetAttribute(Runtime& runtime, const Value& object, const Str& name) {
  RETURN_IF_ERROR(runtime.Step());
  if (object.IsUndefined()) return UndefinedError(object);
  if (object.kind == Kind::kNamespace) {
    const Value* found = FindNamespaceAttribute(*object.ns, name.view());
    return found != nullptr ? *found : Value::Undefined(&name);
  }
  if (HasMethod(object, name.view())) return MakeMethod(runtime, object, name);
  if (ChangesItsDict(object, name.view())) return Value::Undefined(&name);
  if (object.IsDict()) {
    const Value* found = object.dict->Find(name.view());
    return found != nullptr ? *found : Value::Undefined(&name);
  }
  Value property;
  if (FindProperty(runtime, object, name.view(), &property)) return property;
  return Value::Undefined(&name);
}

StatusOr<Value> GetItem(Runtime& runtime, const Value& object, const Value& index) {
  RETURN_IF_ERROR(runtime.Step());
  if (object.IsUndefined()) return UndefinedError(object);
  if (object.IsDict() && index.IsString()) {
    const Value* found = object.dict->Find(index.text());
    if (found != nullptr) return *found;
    if (HasMethod(object, index.text())) return MakeMethod(runtime, object, *index.str);
    return Value::Undefined(index.str);
  }
  if (object.IsDict()) {
    for (size_t i = 0; i < object.dict->size && IsHashable(index); ++i) {
      ASSIGN_OR_RETURN(const bool equal, Equals(runtime, object.dict->entries[i].key, index));
      if (equal) return object.dict->entries[i].value;
    }
    return Value::Undefined();
  }
  if (index.IsString()) return GetAttribute(runtime, object, *index.str);
  if (!index.IsInteger()) return Value::Undefined();
  int64_t at = index.AsInt();
  if (object.IsString()) return IndexString(runtime, *object.str, at, Value::Undefined());
  if (!object.IsList() || !object.list->IsIndexable()) return Value::Undefined();
  const int64_t size = static_cast<int64_t>(object.list->size);
  if (at < 0) at += size;
  if (at < 0 || at >= size) return Value::Undefined();
  return object.list->items[at];
}

StatusOr<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                         const Value& step) {
  if (object.IsUndefined()) return UndefinedError(object);
  // Real errors, though Jinja's constant folding makes undefineds of some literals: `none[1:]` prints nothing.
  if (!IsSliceIndex(start) || !IsSliceIndex(stop) || !IsSliceIndex(step)) {
    return InvalidArgument("slice indices must be integers or none");
  }
  if (object.IsString()) return SliceString(runtime, *object.str, start, stop, step);
  if (!object.IsList() || !object.list->IsIndexable()) {
    return InvalidArgument("'{}' cannot be sliced", TypeName(object));
  }
  const List& list = *object.list;
  ASSIGN_OR_RETURN(const SliceRange range, ResolveSlice(start, stop, step, static_cast<int64_t>(list.size)));
  const size_t count = range.Count();
  RETURN_IF_ERROR(runtime.Reserve(count * sizeof(Value)));
  std::vector<Value> items(count);
  for (size_t i = 0; i < count; ++i) items[i] = list.items[range.start + static_cast<int64_t>(i) * range.step];
  if (list.seq != Seq::kRange) return runtime.MakeList(items, list.IsTuple() ? Seq::kTuple : Seq::kList, object.input);
  ASSIGN_OR_RETURN(const Value part, runtime.MakeList(items, Seq::kRange, object.input));
  part.list->start = list.start + range.start * list.step;
  part.list->stop = list.start + range.stop * list.step;
  part.list->step = list.step * range.step;
  return part;
}

StatusOr<Value> GetPath(Runtime& runtime, const Value& object, const Value& path) {
  if (!path.IsString()) return GetItem(runtime, object, path);
  const Str& text = *path.str;
  std::vector<Value> values;
  for (size_t begin = 0; begin <= text.size;) {
    const size_t comma = std::min(text.view().find(',', begin), text.size);
    ASSIGN_OR_RETURN(const Value value, GetDottedPath(runtime, object, text, begin, comma));
    values.push_back(value);
    begin = comma + 1;
  }
  if (values.size() == 1) return values[0];
  return runtime.MakeList(values, Seq::kTuple, false);
}

}  // namespace bitrate::jinja
