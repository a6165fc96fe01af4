// value.name, value[index] and value[a:b:c] with Jinja's fallbacks: an attribute is looked for among the methods, then
// among the items; an item among the items, then the methods; what is missing is undefined. Methods that would change
// a list or dict do not exist (as in Jinja's immutable sandbox). Thread rule: one rendering, one thread.
#ifndef BITRATE_ENGINE_TEXT_JINJA_SUBSCRIPT_H_
#define BITRATE_ENGINE_TEXT_JINJA_SUBSCRIPT_H_

#include "engine/base/status.h"
#include "engine/text/jinja/call_args.h"
#include "engine/text/jinja/runtime.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

StatusOr<Value> GetAttribute(Runtime& runtime, const Value& object, const Str& name);
StatusOr<Value> GetItem(Runtime& runtime, const Value& object, const Value& index);
StatusOr<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                         const Value& step);
// 'a.b.0,c' as filters take it: the values at each comma-separated path, one alone or several as a tuple.
StatusOr<Value> GetPath(Runtime& runtime, const Value& object, const Value& path);

// Methods called as method(self, args); null when the type has no such method.
FilterFn FindStringMethod(std::string_view name);
FilterFn FindContainerMethod(const Value& self, std::string_view name);  // of dicts, lists and tuples

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_SUBSCRIPT_H_
