// The filters, by kind. Each table's finder gives null for a name it does not have.
#ifndef BITRATE_ENGINE_TEXT_JINJA_FILTERS_H_
#define BITRATE_ENGINE_TEXT_JINJA_FILTERS_H_

#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/jinja/call_args.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

FilterFn FindTextFilter(std::string_view name);       // of strings
FilterFn FindValueFilter(std::string_view name);      // of numbers and any value
FilterFn FindSequenceFilter(std::string_view name);   // of iterables
FilterFn FindOrderFilter(std::string_view name);      // sort, min, groupby ...
FilterFn FindAttributeFilter(std::string_view name);  // map, select, selectattr ...

// The items to compare: at `path` (none: themselves), in lower case unless `case_sensitive`.
StatusOr<std::vector<Value>> SortKeys(Interpreter& in, const Value* items, size_t num_items, const Value& path,
                                      bool case_sensitive);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_FILTERS_H_
