// A small table from names to functions. Used by the tables of filters, tests and methods.
#ifndef BITRATE_ENGINE_TEXT_JINJA_METHOD_TABLE_H_
#define BITRATE_ENGINE_TEXT_JINJA_METHOD_TABLE_H_

#include <cstddef>
#include <string_view>

namespace bitrate::jinja {

template <typename Fn>
struct NamedFunction {
  std::string_view name;
  Fn function;
};

template <typename Fn, size_t N>
Fn FindNamedFunction(const NamedFunction<Fn> (&table)[N], std::string_view name) {
  for (const NamedFunction<Fn>& row : table) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_METHOD_TABLE_H_
