#ifndef CONTAINERBUILDER_CLI_STATUS_LINE_H_
#define CONTAINERBUILDER_CLI_STATUS_LINE_H_

#include "absl/strings/string_view.h"

namespace containerbuilder::cli {

// What goes on, on a terminal: one line of standard error, which is gone when
// anything else happens. Elsewhere nothing, so that the output is nerdctl's.
class StatusLine {
 public:
  StatusLine();
  ~StatusLine() { Clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  bool is_shown() const { return is_terminal_; }
  void Show(absl::string_view text);
  void Clear();

 private:
  const bool is_terminal_;
  bool shown_ = false;
};

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_STATUS_LINE_H_
