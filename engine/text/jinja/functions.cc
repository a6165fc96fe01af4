// The global functions, and the methods of the objects they and loops make.
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"

namespace bitrate::jinja {
namespace {

StatusOr<Value> Range(Interpreter& in, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "range", {"start", "stop", "step"}, 1));
  int64_t start = 0, stop = 0, step = 1;
  if (bound[1] == nullptr) {
    ASSIGN_OR_RETURN(stop, bound.Integer(0, 0));
  } else {
    ASSIGN_OR_RETURN(start, bound.Integer(0, 0));
    ASSIGN_OR_RETURN(stop, bound.Integer(1, 0));
    ASSIGN_OR_RETURN(step, bound.Integer(2, 1));
  }
  if (step == 0) return InvalidArgument("range: the step must not be zero");
  const bool empty = step > 0 ? start >= stop : start <= stop;
  const __int128 span = empty ? 0 : static_cast<__int128>(stop) - start;
  const __int128 count = empty ? 0 : (span + step + (step > 0 ? -1 : 1)) / step;
  if (count > limits::kMaxTemplateRange) {
    return InvalidArgument("range of more than {} numbers", limits::kMaxTemplateRange);
  }
  RETURN_IF_ERROR(in.Reserve(static_cast<size_t>(count) * sizeof(Value)));
  std::vector<Value> items(static_cast<size_t>(count));
  for (size_t i = 0; i < items.size(); ++i) items[i] = Value::Int(start + static_cast<int64_t>(i) * step);
  ASSIGN_OR_RETURN(const Value range, in.MakeList(items, Seq::kRange, false));
  range.list->start = start;
  range.list->stop = stop;
  range.list->step = step;
  return range;
}

// dict(mapping or pairs, name=value ...), also the start of namespace().
StatusOr<std::vector<DictEntry>> Entries(Interpreter& in, const CallArgs& args) {
  std::vector<DictEntry> entries;
  if (args.positional.size() > 1) return InvalidArgument("dict takes at most one positional argument");
  for (const Value& source : args.positional) {
    if (source.IsDict()) {
      RETURN_IF_ERROR(in.Reserve(source.dict->size * sizeof(DictEntry)));
      entries.assign(source.dict->entries, source.dict->entries + source.dict->size);
      continue;
    }
    ASSIGN_OR_RETURN(const Items pairs, Iterate(in, source));
    for (const Value& pair : pairs) {
      ASSIGN_OR_RETURN(const Items parts, Iterate(in, pair));
      if (parts.size != 2) return InvalidArgument("dict needs pairs");
      entries.push_back({parts.data[0], parts.data[1]});
    }
  }
  for (const NamedValue& named : args.named) entries.push_back({Value::Of(named.name), named.value});
  return entries;
}

StatusOr<Value> MakeNamespace(Interpreter& in, const CallArgs& args) {
  ASSIGN_OR_RETURN(const std::vector<DictEntry> entries, Entries(in, args));
  ASSIGN_OR_RETURN(const Value distinct, MakeDict(in, entries, false));
  Value value;
  value.kind = Kind::kNamespace;
  value.ns = in.arena().New<Namespace>();
  for (size_t i = 0; i < distinct.dict->size; ++i) {
    const DictEntry& entry = distinct.dict->entries[i];
    if (!entry.key.IsString()) return InvalidArgument("namespace: names must be strings");
    auto* attribute = in.arena().New<NamespaceAttribute>(entry.key.str, entry.value, nullptr);
    (value.ns->last != nullptr ? value.ns->last->next : value.ns->first) = attribute;
    value.ns->last = attribute;
  }
  return value;
}

StatusOr<Value> MakeCycler(Interpreter& in, const CallArgs& args) {
  if (args.positional.empty() || !args.named.empty()) return InvalidArgument("cycler needs items");
  RETURN_IF_ERROR(in.Reserve(args.positional.size() * sizeof(Value)));
  Value value;
  value.kind = Kind::kCycler;
  value.cycler = in.arena().New<Cycler>(in.arena().Copy(args.positional), args.positional.size(), size_t{0});
  return value;
}

StatusOr<Value> MakeJoiner(Interpreter& in, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "joiner", {"sep"}, 0));
  Value value;
  value.kind = Kind::kJoiner;
  value.joiner = in.arena().New<Joiner>(bound.Or(0, in.Literal(", ")), false);
  return value;
}

StatusOr<Value> RaiseException(Interpreter& in, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "raise_exception", {"message"}, 1));
  ASSIGN_OR_RETURN(const Value message, ToStr(in, *bound[0]));
  in.set_raised();
  return MakeStatus(StatusCode::kInvalidArgument, message.text());
}

StatusOr<Value> StrftimeNow(Interpreter& in, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "strftime_now", {"format"}, 1));
  if (!bound[0]->IsString()) return InvalidArgument("strftime_now needs a string");
  RETURN_IF_ERROR(in.Work(32 * bound[0]->str->size));
  ASSIGN_OR_RETURN(const std::string text, FormatTime(bound[0]->text(), *in.now()));
  return in.Copy(text, bound[0]->str->num_ranges > 0);
}

}  // namespace

std::optional<Function> FindFunction(std::string_view name) {
  if (name == "range") return Function::kRange;
  if (name == "dict") return Function::kDict;
  if (name == "namespace") return Function::kNamespace;
  if (name == "cycler") return Function::kCycler;
  if (name == "joiner") return Function::kJoiner;
  if (name == "raise_exception") return Function::kRaiseException;
  if (name == "strftime_now") return Function::kStrftimeNow;
  return std::nullopt;
}

StatusOr<Value> CallFunction(Interpreter& in, Function function, const CallArgs& args) {
  switch (function) {
    case Function::kRange:
      return Range(in, args);
    case Function::kDict: {
      ASSIGN_OR_RETURN(const std::vector<DictEntry> entries, Entries(in, args));
      return MakeDict(in, entries, !args.positional.empty() && args.positional[0].input);
    }
    case Function::kNamespace:
      return MakeNamespace(in, args);
    case Function::kCycler:
      return MakeCycler(in, args);
    case Function::kJoiner:
      return MakeJoiner(in, args);
    case Function::kRaiseException:
      return RaiseException(in, args);
    case Function::kStrftimeNow:
      return StrftimeNow(in, args);
  }
  return Internal("an unknown function");
}

bool LoopProperty(const LoopState& loop, std::string_view name, Value* out) {
  static constexpr Str kPrevious = {"loop.previtem", 13, nullptr, 0};
  static constexpr Str kNext = {"loop.nextitem", 13, nullptr, 0};
  const int64_t index = static_cast<int64_t>(loop.index);
  const int64_t size = static_cast<int64_t>(loop.size);
  if (name == "index")
    *out = Value::Int(index + 1);
  else if (name == "index0")
    *out = Value::Int(index);
  else if (name == "revindex")
    *out = Value::Int(size - index);
  else if (name == "revindex0")
    *out = Value::Int(size - index - 1);
  else if (name == "first")
    *out = Value::Bool(index == 0);
  else if (name == "last")
    *out = Value::Bool(index + 1 == size);
  else if (name == "length")
    *out = Value::Int(size);
  else if (name == "depth")
    *out = Value::Int(loop.depth + 1);
  else if (name == "depth0")
    *out = Value::Int(loop.depth);
  else if (name == "previtem")
    *out = index > 0 ? loop.items[index - 1] : Value::Undefined(&kPrevious);
  else if (name == "nextitem")
    *out = index + 1 < size ? loop.items[index + 1] : Value::Undefined(&kNext);
  else
    return false;
  return true;
}

StatusOr<Value> CallLoopMethod(Interpreter& in, LoopState* loop, std::string_view name, const CallArgs& args) {
  if (!args.named.empty()) return InvalidArgument("loop.{} takes no named arguments", name);
  if (name == "cycle") {
    if (args.positional.empty()) return InvalidArgument("loop.cycle needs items");
    return args.positional[loop->index % args.positional.size()];
  }
  ASSIGN_OR_RETURN(const Value now, in.MakeList(args.positional, Seq::kTuple, false));
  if (loop->last_changed != nullptr) {
    List last = *loop->last_changed;
    ASSIGN_OR_RETURN(const bool equal, Equals(in, Value::Of(&last), now));
    if (equal) return Value::Bool(false);
  }
  loop->last_changed = now.list;
  return Value::Bool(true);
}

StatusOr<Value> CallCyclerMethod(Cycler* cycler, std::string_view name) {
  if (name == "reset") {
    cycler->position = 0;
    return Value::None();
  }
  const Value current = cycler->items[cycler->position];
  cycler->position = (cycler->position + 1) % cycler->size;
  return current;
}

}  // namespace bitrate::jinja
