// The platform endpoints over a real socket: what a probe, a scraper and a broken client see.
#include "server/metrics/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bitrate {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Exchange(int port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string reply;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    (void)!write(fd, request.data(), request.size());
    char buffer[4096];
    ssize_t got = 0;
    while ((got = read(fd, buffer, sizeof(buffer))) > 0) reply.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  return reply;
}

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = HttpServer::Start("127.0.0.1:0", {{"/healthz",
                                                     [] {
                                                       return HttpReply{200, "text/plain", "ok\n"};
                                                     }},
                                                    {"/sick", [] {
                                                       return HttpReply{503, "text/plain", "no\n"};
                                                     }}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }
  std::string Get(const std::string& line) {
    return Exchange(server_->port(), line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesKnownPathsAndIgnoresTheQuery) {
  const std::string reply = Get("GET /healthz?verbose=1");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("\r\n\r\nok\n"));
  EXPECT_THAT(Get("GET /sick"), StartsWith("HTTP/1.1 503 "));
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  const std::string reply = Get("HEAD /healthz");
  EXPECT_THAT(reply, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_EQ(reply.substr(reply.size() - 4), "\r\n\r\n");
}

TEST_F(HttpServerTest, RefusesWhatItDoesNotServe) {
  EXPECT_THAT(Get("GET /nothing"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Get("GET /nothing"), HasSubstr("/healthz"));
  EXPECT_THAT(Get("DELETE /healthz"), StartsWith("HTTP/1.1 405 "));
}

TEST_F(HttpServerTest, SurvivesGarbageAndHugeHeaders) {
  Exchange(server_->port(), "\x16\x03\x01 this is not HTTP\r\n\r\n");
  Exchange(server_->port(), "GET /healthz HTTP/1.1\r\nX: " + std::string(1 << 20, 'a') + "\r\n\r\n");
  EXPECT_THAT(Get("GET /healthz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, AddressErrorsSayWhatWasWanted) {
  EXPECT_THAT(ToStd(HttpServer::Start("nonsense", {}).status().message()), HasSubstr("want host:port"));
  EXPECT_THAT(ToStd(HttpServer::Start("example.org:1", {}).status().message()), HasSubstr("want an IP address"));
  const std::string taken = "127.0.0.1:" + std::to_string(server_->port());
  EXPECT_EQ(HttpServer::Start(taken, {}).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace bitrate
