#include "daemon/log_formatter.h"

#include <ctime>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "spdlog/pattern_formatter.h"

namespace containerbuilder::daemon {
namespace {

class EscapedMessage : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& line) override {
    std::string text;
    text.reserve(message.payload.size());
    for (const char c : message.payload) {
      const auto byte = static_cast<unsigned char>(c);
      if (absl::ascii_isprint(byte)) {
        text += c;
      } else {
        absl::StrAppend(&text, "\\x", absl::Hex(byte, absl::kZeroPad2));
      }
    }
    line.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<EscapedMessage>();
  }
};

}  // namespace

std::unique_ptr<spdlog::formatter> MakeLogFormatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<EscapedMessage>('*').set_pattern(
      "[%Y-%m-%d %H:%M:%S.%e] [%n] [%l] %*");
  return formatter;
}

}  // namespace containerbuilder::daemon
