#include "same_folder.h"

#include <fcntl.h>

#include "absl/strings/str_format.h"
#include "containerbuilder/client/platform.h"
#include "unique_fd.h"

namespace containerbuilder::cli {
namespace {

// A path that is not written as short as it could be, which the service does
// for what exists.
std::string MarkPath(const std::string& folder, client::Platform& platform) {
  return absl::StrFormat("%s/./.container-builder-%016x%016x", folder,
                         platform.Random(), platform.Random());
}

}  // namespace

bool MaySeeSameFolder(const client::ClientOptions& options) {
  return options.address.starts_with("unix:");
}

absl::StatusOr<bool> SeesSameFolder(client::Client& client,
                                    const std::string& folder,
                                    Leftovers& leftovers) {
  const auto platform = client::MakePlatform();
  const std::string absent = MarkPath(folder, *platform);
  const std::string present = MarkPath(folder, *platform);
  const Leftover mark(leftovers, [&present]() -> std::string {
    const client::UniqueFd fd(
        ::open(present.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    return fd.valid() ? present : "";
  });
  if (mark.path().empty()) return false;
  v1::BuildOptions question;
  question.mutable_build_arg()->set_text(absent);
  question.mutable_label()->set_text(present);
  const auto answer = client.ConstructArgs(question);
  if (!answer.ok()) return answer.status();
  return answer->args_size() == 5 && answer->args(1) == absent &&
         answer->args(3) != present;
}

}  // namespace containerbuilder::cli
