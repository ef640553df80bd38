#ifndef CONTAINERBUILDER_TESTS_UNIT_CLIENT_CUTTING_PROXY_H_
#define CONTAINERBUILDER_TESTS_UNIT_CLIENT_CUTTING_PROXY_H_

#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "support/temp_dir.h"

namespace containerbuilder::test_support {

// Stands between a client and a service on a unix socket and cuts connections:
// the n-th one once the n-th number of bytes has come from the service.
// Further ones last.
class CuttingProxy {
 public:
  CuttingProxy(std::string service_path, std::vector<std::size_t> cuts);
  ~CuttingProxy();
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  std::string address() const { return "unix://" + path(); }
  // That were made so far.
  int connections() const { return connections_; }

 private:
  std::string path() const { return folder_.Path("proxy.sock"); }
  void Run();

  const TempDir folder_;
  const std::string service_path_;
  const std::vector<std::size_t> cuts_;
  std::atomic<int> connections_ = 0;
  int listen_fd_;
  int stop_fd_;
  std::jthread thread_;
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_UNIT_CLIENT_CUTTING_PROXY_H_
