// A small HTTP/1.1 server for platform endpoints: GET (and HEAD) of fixed paths, nothing else. One thread serves all
// connections asynchronously; each is bounded in header size, idle time and number.
//
// Thread rule: Start and Stop from one thread; handlers are called on the server's thread and must not block long.
// Errors: Start returns UNAVAILABLE when the address cannot be bound, INVALID_ARGUMENT when it cannot be parsed.
#ifndef BITRATE_SERVER_METRICS_HTTP_SERVER_H_
#define BITRATE_SERVER_METRICS_HTTP_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "engine/base/status.h"

namespace bitrate {

struct HttpReply {
  int code = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  using Handlers = std::map<std::string, std::function<HttpReply()>>;  // by path

  // `address` is host:port; port 0 takes a free one.
  static StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address, Handlers handlers);
  virtual ~HttpServer() = default;  // closes connections and joins the thread
  virtual int port() const = 0;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_METRICS_HTTP_SERVER_H_
