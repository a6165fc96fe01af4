// What every client command shares: the connection flags, the channel, and how an error reaches the terminal.
// Thread rule: values; a Connection may be used by many threads at once.
#ifndef BITRATE_SERVER_CLIENT_CONNECTION_H_
#define BITRATE_SERVER_CLIENT_CONNECTION_H_

#include <memory>
#include <string>

#include "bitrate/v1/inference_service.pb.h"

namespace CLI {
class App;
}
namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace bitrate {

struct ConnectionFlags {
  std::string address = "127.0.0.1:9000";
  std::string api_key_env;  // name of the environment variable that holds the key
  std::string tls_ca_file;  // empty: plain text
  double timeout_seconds = 600;
};

// Adds --address, --api-key-env, --tls-ca, --timeout to a command.
void AddConnectionFlags(CLI::App& command, ConnectionFlags* flags);

class Connection {
 public:
  // Never fails; an unreachable server shows up at the first call.
  explicit Connection(const ConnectionFlags& flags);
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // Sets deadline and credentials of one call.
  void Prepare(grpc::ClientContext& context) const;
  bool readable_files() const { return error_.empty(); }
  const std::string& error() const { return error_; }  // a CA file or key that cannot be read

 private:
  ConnectionFlags flags_;
  std::string api_key_;
  std::string error_;
  std::shared_ptr<grpc::Channel> channel_;
};

// Prints "error: ..." with what the server's details add (field, retry delay) and returns the exit code: 2 where the
// request was wrong, 1 otherwise.
int ReportRpcError(const grpc::Status& status, const std::string& address);

// The prompt of a command: the argument, or standard input for "-". Exits by returning false after printing an error.
bool ReadPrompt(std::string* prompt);

// "model", "model:variant" and the flags --variant, --unit -> a selector.
void FillSelector(const std::string& model, const std::string& variant, const std::string& unit,
                  v1::ModelSelector* selector);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLIENT_CONNECTION_H_
