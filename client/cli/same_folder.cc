#include "same_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_format.h"
#include "containerbuilder/client/platform.h"

namespace containerbuilder::cli {
namespace {

// A file for as long as this is there.
class MarkFile {
 public:
  explicit MarkFile(std::string path)
      : path_(std::move(path)),
        fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                   0600)) {}
  ~MarkFile() {
    if (fd_ < 0) return;
    ::unlink(path_.c_str());
    ::close(fd_);
  }
  MarkFile(const MarkFile&) = delete;
  MarkFile& operator=(const MarkFile&) = delete;

  bool exists() const { return fd_ >= 0; }

 private:
  const std::string path_;
  const int fd_;
};

// A path that is not written as short as it could be, which the service does
// for what exists.
std::string MarkPath(const std::string& folder, client::Platform& platform) {
  return absl::StrFormat("%s/./.container-builder-%016x%016x", folder,
                         platform.Random(), platform.Random());
}

}  // namespace

absl::StatusOr<bool> SeesSameFolder(client::Client& client,
                                    const client::ClientOptions& options,
                                    const std::string& folder) {
  if (!options.address.starts_with("unix:")) return false;
  const auto platform = client::MakePlatform();
  const std::string absent = MarkPath(folder, *platform);
  const std::string present = MarkPath(folder, *platform);
  const MarkFile mark(present);
  if (!mark.exists()) return false;
  v1::BuildOptions question;
  question.mutable_build_arg()->set_text(absent);
  question.mutable_label()->set_text(present);
  const auto answer = client.ConstructArgs(question);
  if (!answer.ok()) return answer.status();
  return answer->args_size() == 5 && answer->args(1) == absent &&
         answer->args(3) != present;
}

}  // namespace containerbuilder::cli
