#include "terminal_filter.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "go_text.h"

namespace containerbuilder::cli {
namespace {

using client::DecodeRune;
using client::Rune;

constexpr char32_t kBell = 0x07;
constexpr char32_t kCancel = 0x18;
constexpr char32_t kSubstitute = 0x1a;
constexpr char32_t kEscapeCharacter = 0x1b;
constexpr char32_t kControlIntroducer = 0x9b;
constexpr std::string_view kReset = "\x1b[0m";
constexpr std::string_view kReplacement = "\xef\xbf\xbd";
// All colours at once take less.
constexpr std::size_t kMostParameters = 128;

constexpr bool IsIn(char32_t character, char32_t first, char32_t last) {
  return first <= character && character <= last;
}

constexpr bool IsC1(char32_t character) { return IsIn(character, 0x80, 0x9f); }

constexpr bool IsSgrParameter(char32_t character) {
  return IsIn(character, '0', ';');
}

// Of these a terminal makes nothing but marks on its screen, in their order.
constexpr bool IsShown(char32_t character) {
  switch (character) {
    case '\b':
    case '\t':
    case '\n':
    case '\r':
      return true;
    default:
      return character >= 0x20 && !IsIn(character, 0x7f, 0x9f) &&
             !IsIn(character, 0x202a, 0x202e) &&
             !IsIn(character, 0x2066, 0x2069);
  }
}

// Whether more bytes may make a character of it. What may follow the first byte
// reaches from the least or to the greatest of those that may follow any.
bool IsUnfinished(std::string_view bytes) {
  if (bytes.size() > 3) return false;
  for (const char* const more : {"\x80\x80\x80", "\xbf\xbf\xbf"}) {
    const std::string whole = std::string(bytes) + more;
    if (DecodeRune(whole).size > bytes.size()) return true;
  }
  return false;
}

}  // namespace

std::string TerminalFilter::Pass(std::string_view bytes) {
  const std::string all = std::exchange(unfinished_, "") + std::string(bytes);
  std::string text;
  text.reserve(all.size());
  for (std::string_view rest = all; !rest.empty();) {
    const Rune rune = DecodeRune(rest);
    const std::string_view character = rest.substr(0, rune.size);
    if (rune.value != client::kRuneError || rune.size != 1) {
      Take(rune.value, character, text);
    } else if (IsUnfinished(rest)) {
      unfinished_ = rest;
      break;
    } else {
      const auto byte = static_cast<unsigned char>(rest.front());
      Take(IsC1(byte) ? byte : client::kRuneError, kReplacement, text);
    }
    rest.remove_prefix(rune.size);
  }
  return text;
}

std::string TerminalFilter::End() const {
  return std::string(is_coloured_ ? kReset : "");
}

void TerminalFilter::Take(char32_t character, std::string_view bytes,
                          std::string& text) {
  if (Continue(character, text)) return;
  state_ = State::kText;
  Begin(character, bytes, text);
}

bool TerminalFilter::Continue(char32_t character, std::string& text) {
  switch (state_) {
    case State::kText:
      return false;
    case State::kEscape:
      if (character == '[') {
        state_ = State::kControl;
        parameters_.clear();
        is_sgr_ = true;
        return true;
      }
      // OSC, DCS, SOS, PM, APC.
      if (character < 0x80 && std::string_view("]PX^_").find(static_cast<char>(
                                  character)) != std::string_view::npos) {
        state_ = State::kString;
        return true;
      }
      [[fallthrough]];
    case State::kIntermediate:
      if (IsIn(character, 0x30, 0x7e)) {
        state_ = State::kText;
        return true;
      }
      state_ = State::kIntermediate;
      return IsIn(character, 0x20, 0x2f);
    case State::kControl:
      if (IsIn(character, 0x40, 0x7e)) {
        if (is_sgr_ && character == 'm') {
          absl::StrAppend(&text, "\x1b[", parameters_, "m");
          is_coloured_ = !parameters_.empty() && parameters_ != "0";
        }
        state_ = State::kText;
        return true;
      }
      if (!IsSgrParameter(character) || parameters_.size() == kMostParameters) {
        is_sgr_ = false;
      }
      if (is_sgr_) parameters_ += static_cast<char>(character);
      return IsIn(character, 0x20, 0x3f);
    case State::kString:
      if (character == kBell || character == kCancel ||
          character == kSubstitute) {
        state_ = State::kText;
        return true;
      }
      // ESC may begin its end, ESC \, which is a sequence by itself.
      return character != kEscapeCharacter && character != '\n' &&
             !IsC1(character);
  }
  return false;
}

void TerminalFilter::Begin(char32_t character, std::string_view bytes,
                           std::string& text) {
  switch (character) {
    case kEscapeCharacter:
      state_ = State::kEscape;
      return;
    case kControlIntroducer:
      // In 8 bits it is never let through, so that text stays UTF-8.
      state_ = State::kControl;
      is_sgr_ = false;
      return;
    case 0x90:  // DCS
    case 0x98:  // SOS
    case 0x9d:  // OSC
    case 0x9e:  // PM
    case 0x9f:  // APC
      state_ = State::kString;
      return;
    default:
      if (IsShown(character)) text += bytes;
  }
}

}  // namespace containerbuilder::cli
