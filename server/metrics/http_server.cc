#include "server/metrics/http_server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <optional>
#include <thread>

namespace bitrate {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Tcp = asio::ip::tcp;

constexpr auto kIdleTimeout = std::chrono::seconds(30);
constexpr uint32_t kMaxHeaderBytes = 16u << 10;
constexpr uint64_t kMaxBodyBytes = 4u << 10;  // no endpoint takes a body
constexpr int kMaxConnections = 128;

struct Shared {
  HttpServer::Handlers handlers;
  int connections = 0;  // touched on the server's thread only
};

HttpReply Answer(const Shared& shared, const http::request<http::string_body>& request) {
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return {405, "text/plain; charset=utf-8", "only GET and HEAD are served here\n"};
  }
  std::string path(request.target());
  path = path.substr(0, path.find('?'));
  const auto handler = shared.handlers.find(path);
  if (handler != shared.handlers.end()) return handler->second();
  std::string known;
  for (const auto& [name, unused] : shared.handlers) known += " " + name;
  return {404, "text/plain; charset=utf-8", "no such path; there is:" + known + "\n"};
}

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Tcp::socket socket, Shared* shared) : stream_(std::move(socket)), shared_(shared) {
    ++shared_->connections;
  }
  ~Connection() { --shared_->connections; }

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    parser_->body_limit(kMaxBodyBytes);
    stream_.expires_after(kIdleTimeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
  }

 private:
  void OnRead(beast::error_code error) {
    if (error) return Close();
    const HttpReply reply = Answer(*shared_, parser_->get());
    response_ = {};
    response_.version(parser_->get().version());
    response_.result(static_cast<unsigned>(reply.code));
    response_.set(http::field::content_type, reply.content_type);
    if (reply.code == 405) response_.set(http::field::allow, "GET, HEAD");
    response_.keep_alive(parser_->get().keep_alive());
    const bool head = parser_->get().method() == http::verb::head;
    response_.content_length(reply.body.size());
    if (!head) response_.body() = reply.body;
    http::async_write(stream_, response_, [self = shared_from_this()](beast::error_code write_error, size_t) {
      self->OnWrite(write_error);
    });
  }

  void OnWrite(beast::error_code error) {
    if (error || !response_.keep_alive()) return Close();
    Read();
  }

  void Close() {
    beast::error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_both, ignored);
  }

  beast::tcp_stream stream_;
  Shared* const shared_;
  beast::flat_buffer buffer_{kMaxHeaderBytes + kMaxBodyBytes};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

StatusOr<Tcp::endpoint> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  uint16_t port = 0;
  const char* end = address.data() + address.size();
  if (colon == std::string::npos || std::from_chars(address.data() + colon + 1, end, port).ptr != end ||
      colon + 1 == address.size()) {
    return InvalidArgument("HTTP address: got \"{}\", want host:port", address);
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  beast::error_code error;
  const auto ip = asio::ip::make_address(host, error);
  if (error) return InvalidArgument("HTTP address: got host \"{}\", want an IP address or localhost", host);
  return Tcp::endpoint(ip, port);
}

class Server final : public HttpServer {
 public:
  explicit Server(Handlers handlers) : acceptor_(io_) { shared_.handlers = std::move(handlers); }
  ~Server() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  Status Listen(const Tcp::endpoint& endpoint) {
    beast::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return Unavailable("cannot listen for HTTP on {}:{}: {}", endpoint.address().to_string(), endpoint.port(),
                         error.message());
    }
    port_ = acceptor_.local_endpoint().port();
    Accept();
    thread_ = std::thread([this] { io_.run(); });
    return OkStatus();
  }

  int port() const override { return port_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](beast::error_code error, Tcp::socket socket) {
      // Beyond the cap a connection is closed at once; an accept error (out of descriptors) must not end the server.
      if (!error && shared_.connections < kMaxConnections) {
        std::make_shared<Connection>(std::move(socket), &shared_)->Read();
      }
      if (error != asio::error::operation_aborted) Accept();
    });
  }

  Shared shared_;  // outlives io_, whose destructor drops pending connections
  asio::io_context io_{1};
  Tcp::acceptor acceptor_;
  std::thread thread_;
  int port_ = 0;
};

}  // namespace

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address, Handlers handlers) {
  ASSIGN_OR_RETURN(const Tcp::endpoint endpoint, ParseAddress(address));
  auto server = std::make_unique<Server>(std::move(handlers));
  RETURN_IF_ERROR(server->Listen(endpoint));
  return server;
}

}  // namespace bitrate
