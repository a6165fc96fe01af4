// The rows of tests/golden/templates and templates_extra: one rendering and what real Jinja2 made of it.
#ifndef BITRATE_TESTS_UNIT_TEXT_TEMPLATE_GOLDEN_CASES_H_
#define BITRATE_TESTS_UNIT_TEXT_TEMPLATE_GOLDEN_CASES_H_

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "engine/text/chat_template.h"

namespace bitrate {

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::vector<nlohmann::ordered_json> ReadLines(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::ordered_json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(nlohmann::ordered_json::parse(line));
  return rows;
}

// The frozen clock of the golden data: Friday 2024-07-26 09:05:03.
inline std::tm GoldenNow() {
  std::tm now = {};
  now.tm_year = 124;
  now.tm_mon = 6;
  now.tm_mday = 26;
  now.tm_hour = 9;
  now.tm_min = 5;
  now.tm_sec = 3;
  now.tm_wday = 5;
  now.tm_yday = 207;
  return now;
}

inline RenderInput GoldenInput(const nlohmann::ordered_json& row) {
  RenderInput input;
  input.messages = row.at("messages");
  if (row.contains("tools")) input.tools = row.at("tools");
  input.add_generation_prompt = row.at("add_generation_prompt");
  if (row.contains("extra")) input.variables = row.at("extra");
  for (const char* token : {"bos_token", "eos_token"}) {
    if (row.contains(token)) input.variables[token] = row.at(token);
  }
  input.now = GoldenNow();
  return input;
}

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_TEXT_TEMPLATE_GOLDEN_CASES_H_
