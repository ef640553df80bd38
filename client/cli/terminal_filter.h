#ifndef CONTAINERBUILDER_CLI_TERMINAL_FILTER_H_
#define CONTAINERBUILDER_CLI_TERMINAL_FILTER_H_

#include <string>
#include <string_view>

namespace containerbuilder::cli {

// What a terminal may get of a stream that others wrote: text, tabs, ends of
// lines, backspaces, and what sets colours (SGR, CSI ... m). All else of what a
// terminal takes for orders is left out, such as to clear it, to name its
// window or to write to the clipboard: other control sequences, strings of any
// kind, and control characters, in 7 and 8 bits, also as UTF-8 has them; and
// so are the characters that turn the direction of text. What comes out is
// valid UTF-8.
//
// A sequence ends at the end of its line at the latest, so that one that was
// only begun hides no more than that.
class TerminalFilter {
 public:
  // What follows may be cut anywhere: what is not finished stays here. At the
  // end of the stream it is left out.
  std::string Pass(std::string_view bytes);

  // What is to follow the last of it, so that colours end with the text that
  // they were for: what was concealed would hide the next words of anybody.
  std::string End() const;

 private:
  enum class State {
    kText,
    kEscape,        // behind ESC
    kIntermediate,  // behind more of such a sequence, which has no parameters
    kControl,       // behind CSI
    kString,        // in OSC, DCS, APC, PM or SOS
  };

  // `bytes` is how the text has `character`.
  void Take(char32_t character, std::string_view bytes, std::string& text);
  // Whether it belongs to the sequence that is under way.
  bool Continue(char32_t character, std::string& text);
  // What belongs to none.
  void Begin(char32_t character, std::string_view bytes, std::string& text);

  State state_ = State::kText;
  std::string unfinished_;  // the begin of a character
  std::string parameters_;  // of a control sequence that may be SGR
  bool is_sgr_ = false;     // so far
  bool is_coloured_ = false;
};

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_TERMINAL_FILTER_H_
