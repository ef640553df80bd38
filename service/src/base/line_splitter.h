#ifndef CONTAINERBUILDER_BASE_LINE_SPLITTER_H_
#define CONTAINERBUILDER_BASE_LINE_SPLITTER_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// Cuts a stream of bytes into lines. Of a line over the limit only the
// beginning is kept, so that memory is bounded whatever a build prints.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t max_line_bytes)
      : max_line_bytes_(max_line_bytes) {}

  // Calls `on_line` with each line that `bytes` completes, without its newline
  // and one carriage return before it.
  template <typename OnLine>
  void Feed(absl::string_view bytes, OnLine on_line) {
    while (!bytes.empty()) {
      const std::size_t newline = bytes.find('\n');
      Keep(bytes.substr(0, newline));
      if (newline == absl::string_view::npos) return;
      bytes.remove_prefix(newline + 1);
      Flush(on_line);
    }
  }

  // Calls `on_line` with what is left after the last newline, if anything.
  template <typename OnLine>
  void Finish(OnLine on_line) {
    if (!line_.empty()) Flush(on_line);
  }

 private:
  void Keep(absl::string_view part) {
    const std::size_t room = max_line_bytes_ - line_.size();
    line_.append(part.data(), part.size() < room ? part.size() : room);
  }

  template <typename OnLine>
  void Flush(OnLine on_line) {
    absl::string_view line = line_;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    on_line(line);
    line_.clear();
  }

  std::size_t max_line_bytes_;
  std::string line_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_LINE_SPLITTER_H_
