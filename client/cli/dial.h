#ifndef CONTAINERBUILDER_CLI_DIAL_H_
#define CONTAINERBUILDER_CLI_DIAL_H_

#include <string>

// Connects and hangs up, to tell why gRPC could not.
namespace containerbuilder::cli {

// Answers errno's value; 0: somebody listens.
int DialSocket(const std::string& path);

struct DialResult {
  int error = 0;           // errno's; 0: somebody listens
  std::string name_error;  // why the name is none, then `error` is not 0
};

// `host:port` or `[ipv6]:port`. Tries each address of the host, five seconds
// each, and answers the last one's error.
DialResult DialHost(const std::string& address);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_DIAL_H_
