#include "engine/text/jinja/value.h"

#include <algorithm>

namespace bitrate::jinja {

double Value::AsDouble() const {
  switch (kind) {
    case Kind::kFloat:
      return real;
    case Kind::kUint:
      return static_cast<double>(unsigned_integer);
    default:
      return static_cast<double>(AsInt());
  }
}

const Value* Dict::Find(std::string_view key) const {
  if (by_key == nullptr) {
    for (size_t i = 0; i < size; ++i) {
      if (entries[i].key.IsString() && entries[i].key.text() == key) return &entries[i].value;
    }
    return nullptr;
  }
  const uint32_t* end = by_key + num_by_key;
  const uint32_t* found = std::lower_bound(
      by_key, end, key, [this](uint32_t i, std::string_view wanted) { return entries[i].key.text() < wanted; });
  return found != end && entries[*found].key.text() == key ? &entries[*found].value : nullptr;
}

bool Truthy(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean;
    case Kind::kInt:
      return value.integer != 0;
    case Kind::kUint:
      return value.unsigned_integer != 0;
    case Kind::kFloat:
      return value.real != 0;
    case Kind::kString:
      return value.str->size != 0;
    case Kind::kList:
      return value.list->seq == Seq::kGenerator || value.list->size != 0;
    case Kind::kDict:
      return value.dict->size != 0;
    default:
      return true;
  }
}

std::string_view TypeName(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kUint:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "builtin_function_or_method";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
    case Kind::kList:
      break;
  }
  switch (value.list->seq) {
    case Seq::kList:
      return "list";
    case Seq::kTuple:
    case Seq::kGroup:
      return "tuple";
    case Seq::kRange:
      return "range";
    case Seq::kKeys:
      return "dict_keys";
    case Seq::kValues:
      return "dict_values";
    case Seq::kItems:
      return "dict_items";
    case Seq::kGenerator:
      return "generator";
  }
  return "object";
}

bool FromInput(const Value& value) { return value.input || (value.IsString() && value.str->num_ranges > 0); }

}  // namespace bitrate::jinja
