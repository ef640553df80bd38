#ifndef CONTAINERBUILDER_BUILD_HOST_H_
#define CONTAINERBUILDER_BUILD_HOST_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace containerbuilder::service {

enum class Platform { kLinux, kMacOs, kWindows, kOther };

// What the service asks of the machine it runs on, injected so that each
// branch can be tested on any machine.
struct Host {
  // Bytes that the service may still write to the file system of `path`.
  static absl::StatusOr<std::uint64_t> FreeDisk(const std::string& path);

  static absl::Duration Uptime();

  // This machine, this process.
  static Host Real();

  Platform platform = Platform::kLinux;
  // An environment variable of the service; nothing where it is not set.
  std::function<std::optional<std::string>(const std::string& name)> getenv;
  // The service's working folder, absolute.
  std::string working_folder;
  std::function<absl::Time()> now;
  // The effective user. nerdctl is rootless for anybody but root.
  uid_t user = 0;
  std::function<absl::StatusOr<std::uint64_t>(const std::string& path)>
      free_disk = FreeDisk;
  // Time that passed since some moment; nobody sets it.
  std::function<absl::Duration()> uptime = Uptime;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_HOST_H_
