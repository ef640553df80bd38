#include "leftovers.h"

#include <filesystem>
#include <system_error>
#include <utility>

namespace containerbuilder::cli {
namespace {

void RemoveTree(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const auto make_writable = [&ignored](const fs::path& folder) {
    fs::permissions(folder, fs::perms::owner_all, fs::perm_options::add,
                    ignored);
  };
  // It, or what is in it, may have been made unwritable.
  if (fs::symlink_status(path, ignored).type() == fs::file_type::directory) {
    make_writable(path);
  }
  for (fs::recursive_directory_iterator at(path, ignored), end; at != end;
       at.increment(ignored)) {
    if (at->is_directory(ignored) && !at->is_symlink(ignored)) {
      make_writable(at->path());
    }
  }
  fs::remove_all(path, ignored);
}

}  // namespace

void Leftovers::RemoveForGood() {
  mutex_.lock();
  for (const std::string& path : paths_) RemoveTree(path);
}

Leftover::Leftover(Leftovers& all, const std::function<std::string()>& make)
    : all_(&all) {
  const std::lock_guard lock(all_->mutex_);
  path_ = make();
  if (!path_.empty()) all_->paths_.push_back(path_);
}

Leftover::Leftover(Leftover&& other) noexcept
    : all_(other.all_), path_(std::exchange(other.path_, "")) {}

Leftover& Leftover::operator=(Leftover&& other) noexcept {
  std::swap(all_, other.all_);
  std::swap(path_, other.path_);
  return *this;
}

Leftover::~Leftover() {
  if (path_.empty()) return;
  const std::lock_guard lock(all_->mutex_);
  RemoveTree(path_);
  std::erase(all_->paths_, path_);
}

std::unique_lock<std::mutex> Leftover::Hold() const {
  return std::unique_lock(all_->mutex_);
}

}  // namespace containerbuilder::cli
