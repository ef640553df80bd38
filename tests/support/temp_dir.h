#ifndef CONTAINERBUILDER_TESTS_SUPPORT_TEMP_DIR_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_TEMP_DIR_H_

#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

namespace containerbuilder::test_support {

// A folder of the test's own, gone with all that is in it when this is. What
// cannot be made throws std::system_error, which fails the test.
class TempDir {
 public:
  TempDir() {
    // Links resolved, so that paths compare equal to what programs report.
    std::string pattern =
        std::filesystem::canonical(std::filesystem::temp_directory_path()) /
        "containerbuilder.XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) Fail(pattern);
    path_ = pattern;
  }

  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  // Absolute, without a trailing slash.
  const std::string& path() const { return path_; }

  // Where `name`, a relative path, is in the folder.
  std::string Path(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }

  // Writes a file, with its folders, and returns its path.
  std::string WriteFile(std::string_view name, std::string_view text,
                        mode_t mode = 0644) const {
    const std::string path = Path(name);
    std::filesystem::create_directories(
        std::filesystem::path(path).parent_path());
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.close();
    if (!file) Fail(path);
    // After writing, and whatever the umask is.
    if (chmod(path.c_str(), mode) != 0) Fail(path);
    return path;
  }

  // Makes a folder, with its parents, and returns its path.
  std::string MakeDir(std::string_view name) const {
    const std::string path = Path(name);
    std::filesystem::create_directories(path);
    return path;
  }

 private:
  [[noreturn]] static void Fail(const std::string& path) {
    throw std::system_error(errno, std::generic_category(), path);
  }

  std::string path_;
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_TEMP_DIR_H_
