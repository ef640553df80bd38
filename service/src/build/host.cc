#include "build/host.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace containerbuilder::service {
namespace {

constexpr Platform kThisPlatform =
#if defined(__linux__)
    Platform::kLinux;
#elif defined(__APPLE__)
    Platform::kMacOs;
#elif defined(_WIN32)
    Platform::kWindows;
#else
    Platform::kOther;
#endif

std::optional<std::string> GetEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace

absl::StatusOr<std::uint64_t> Host::FreeDisk(const std::string& path) {
  struct statvfs disk;
  if (statvfs(path.c_str(), &disk) != 0) {
    return absl::ErrnoToStatus(errno, path);
  }
  return std::uint64_t{disk.f_bavail} * disk.f_frsize;
}

absl::Duration Host::Uptime() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

Host Host::Real() {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::current_path(error);
  Host host;
  host.platform = kThisPlatform;
  host.getenv = GetEnvironment;
  // A folder that was removed has no name; relative paths lead nowhere then.
  host.working_folder = error ? "/" : folder.string();
  host.now = absl::Now;
  host.user = geteuid();
  return host;
}

}  // namespace containerbuilder::service
