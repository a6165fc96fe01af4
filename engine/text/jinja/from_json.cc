#include "engine/text/jinja/from_json.h"

#include <limits>

namespace bitrate::jinja {
namespace {

using Json = nlohmann::ordered_json;

StatusOr<Value> FromArray(Runtime& runtime, const Json::array_t& array, bool input) {
  std::vector<Value> items;
  RETURN_IF_ERROR(runtime.Reserve(array.size() * sizeof(Value)));
  for (const Json& item : array) {
    ASSIGN_OR_RETURN(const Value value, FromJson(runtime, item, input));
    items.push_back(value);
  }
  return runtime.MakeList(items, Seq::kList, input);
}

StatusOr<Value> FromObject(Runtime& runtime, const Json::object_t& object, bool input) {
  std::vector<DictEntry> entries;
  RETURN_IF_ERROR(runtime.Reserve(object.size() * sizeof(DictEntry)));
  for (const auto& [key, item] : object) {
    ASSIGN_OR_RETURN(const Value value, FromJson(runtime, item, input));
    entries.push_back({runtime.Literal(key, input), value});
  }
  return runtime.MakeDistinctDict(entries, input);
}

}  // namespace

StatusOr<Value> FromJson(Runtime& runtime, const Json& json, bool input) {
  DepthScope depth(runtime);
  RETURN_IF_ERROR(depth.Enter());
  Value value = Value::None();
  value.input = input;
  switch (json.type()) {
    case Json::value_t::boolean:
      value = Value::Bool(*json.get_ptr<const bool*>());
      break;
    case Json::value_t::number_integer:
      value = Value::Int(*json.get_ptr<const int64_t*>());
      break;
    case Json::value_t::number_unsigned: {
      const uint64_t number = *json.get_ptr<const uint64_t*>();
      value = Value::Int(static_cast<int64_t>(number));
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        value.kind = Kind::kUint;
        value.unsigned_integer = number;
      }
      break;
    }
    case Json::value_t::number_float:
      value = Value::Float(*json.get_ptr<const double*>());
      break;
    case Json::value_t::string:
      return runtime.Literal(*json.get_ptr<const std::string*>(), input);
    case Json::value_t::array:
      return FromArray(runtime, *json.get_ptr<const Json::array_t*>(), input);
    case Json::value_t::object:
      return FromObject(runtime, *json.get_ptr<const Json::object_t*>(), input);
    case Json::value_t::binary:
      return InvalidArgument("a message holds binary JSON");
    default:
      break;
  }
  value.input = input;
  return value;
}

}  // namespace bitrate::jinja
