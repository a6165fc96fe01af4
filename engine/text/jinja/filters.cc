#include "engine/text/jinja/filters.h"

namespace bitrate::jinja {

FilterFn FindFilter(std::string_view name) {
  for (FilterFn (*find)(std::string_view) :
       {FindTextFilter, FindValueFilter, FindSequenceFilter, FindOrderFilter, FindAttributeFilter}) {
    if (FilterFn filter = find(name)) return filter;
  }
  return nullptr;
}

}  // namespace bitrate::jinja
