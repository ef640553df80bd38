#include "status_line.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "color.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

void Tell(const std::string& text) {
  // There is nobody to tell where this fails.
  (void)Write(STDERR_FILENO, text);
}

}  // namespace

StatusLine::StatusLine() : is_terminal_(IsTerminal(STDERR_FILENO)) {}

void StatusLine::Show(absl::string_view text) {
  if (!is_terminal_) return;
  shown_ = true;
  Tell(absl::StrCat("\rcontainer-builder: ", text, "\x1b[K"));
}

void StatusLine::Clear() {
  if (shown_) Tell("\r\x1b[K");
  shown_ = false;
}

}  // namespace containerbuilder::cli
