// How the client commands show messages: aligned tables, one summary line, JSON lines.
#ifndef BITRATE_SERVER_CLIENT_RENDER_H_
#define BITRATE_SERVER_CLIENT_RENDER_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "bitrate/v1/types.pb.h"

namespace bitrate {

// One line, field names as in the proto, defaults printed (a reader need not know them).
std::string ToJsonLine(const google::protobuf::Message& message);

double Seconds(const google::protobuf::Duration& duration);
double Amount(const v1::Cost& cost);

// "128 MiB", "1.2 GiB".
std::string HumanBytes(uint64_t bytes);

// Makes text fit one table cell: line breaks become a mark, long text ends with an ellipsis. Cuts at whole UTF-8
// characters; `width` counts characters.
std::string OneLine(const std::string& text, size_t width);

// A table whose columns are as wide as their widest cell. `left` says which columns hold text; the others are numbers,
// aligned to the right.
class Table {
 public:
  Table(std::vector<std::string> header, std::vector<bool> left) : left_(std::move(left)) { AddRow(std::move(header)); }
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string ToString() const;

 private:
  std::vector<bool> left_;
  std::vector<std::vector<std::string>> rows_;
};

// "[int8 (int8), weight] 12 prompt + 64 tokens, TTFT 31 ms, 82.1 tok/s, 0.81 device-s, USD 0.000011" on stderr.
void PrintSummary(const v1::Route& route, const v1::Usage& usage, const v1::Timing& timing, const v1::Cost& cost);

// Tokens per second after the first token; 0 when there were fewer than two.
double DecodeRate(const v1::Usage& usage, const v1::Timing& timing);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLIENT_RENDER_H_
