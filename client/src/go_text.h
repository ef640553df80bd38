#ifndef CONTAINERBUILDER_CLIENT_GO_TEXT_H_
#define CONTAINERBUILDER_CLIENT_GO_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

// What Go's standard library makes of bytes, for reading files as BuildKit
// does.
namespace containerbuilder::client {

// A code point and the bytes that it takes. Where the bytes are not UTF-8 it
// is U+FFFD and one byte.
struct Rune {
  char32_t value;
  std::size_t size;
};
inline constexpr char32_t kRuneError = 0xfffd;

// Of what `text` begins with; it is not empty. As utf8.DecodeRune.
Rune DecodeRune(std::string_view text);

// Each byte that is not UTF-8 as U+FFFD.
std::string ToValidUtf8(std::string_view text);

// strings.TrimSpace: Unicode's white space.
std::string_view TrimSpace(std::string_view text);

// path.Clean: the shortest path that is lexically the same; `.` for none.
std::string CleanPath(std::string_view path);

// Whether filepath.Match takes it for the name `.`: it looks at a pattern only
// as far as the name goes with it.
bool IsMatchPattern(std::string_view pattern);

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_GO_TEXT_H_
