#ifndef CONTAINERBUILDER_CLI_LEFTOVERS_H_
#define CONTAINERBUILDER_CLI_LEFTOVERS_H_

#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace containerbuilder::cli {

// What of this process must not stay when it leaves in the middle, as on a
// second Ctrl-C, which runs no destructors. Thread-safe.
class Leftovers {
 public:
  // Removes all there is. The process is to end then: who makes, removes or
  // holds something afterwards waits for that.
  void RemoveForGood();

 private:
  friend class Leftover;
  std::mutex mutex_;
  std::vector<std::string> paths_;
};

// A file, or a folder with all that is in it, that is gone with this.
class Leftover {
 public:
  Leftover() = default;
  // Is what `make` makes, which answers its path; "" where it cannot.
  Leftover(Leftovers& all, const std::function<std::string()>& make);
  Leftover(Leftover&& other) noexcept;
  Leftover& operator=(Leftover&& other) noexcept;
  ~Leftover();

  // Empty where nothing was made.
  const std::string& path() const { return path_; }

  // While something is made inside. Not for long after a first Ctrl-C: the
  // second waits for it.
  std::unique_lock<std::mutex> Hold() const;

 private:
  Leftovers* all_ = nullptr;
  std::string path_;
};

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_LEFTOVERS_H_
