// Whether the time that a token takes tells how much of its digest is right,
// as dudect does (Reparaz, Balasch, Verbauwhede, 2017): two classes of tokens
// are timed in random order, and Welch's t-test compares the two.
//
//   token_timing CALLS
//
// No token of the first class has a digest that begins as a known one's; that
// of the second is all but the last byte that of each known one. Prints
// `OURS STOPPING`: |t| over CALLS calls of CallersFile::FindToken, and of a
// comparison that stops at the first byte that differs, by which one sees that
// the measurement finds what it looks for.

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "rpc/callers_file.h"

namespace {

using containerbuilder::service::CallersFile;
using Clock = std::chrono::steady_clock;
using Digest = std::array<std::uint8_t, SHA256_DIGEST_LENGTH>;

constexpr int kKnown = 200;
// The slowest tenth is left out: calls that something interrupted.
constexpr double kKept = 0.9;

Digest DigestOf(absl::string_view token) {
  Digest digest = {};
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         digest.data());
  return digest;
}

class StoppingComparison {
 public:
  explicit StoppingComparison(std::vector<Digest> known)
      : known_(std::move(known)) {}

  bool Find(absl::string_view token) const {
    const Digest digest = DigestOf(token);
    bool found = false;
    for (const Digest& known : known_) {
      std::size_t same = 0;
      while (same < known.size() && known[same] == digest[same]) ++same;
      found = found || same == known.size();
    }
    return found;
  }

 private:
  const std::vector<Digest> known_;
};

struct Moments {
  double count = 0;
  double mean = 0;
  double variance = 0;
};

Moments MomentsOf(const std::vector<double>& times, double longest) {
  Moments moments;
  double squares = 0;
  for (const double time : times) {
    if (time > longest) continue;
    ++moments.count;
    const double from_mean = time - moments.mean;
    moments.mean += from_mean / moments.count;
    squares += from_mean * (time - moments.mean);
  }
  moments.variance = squares / (moments.count - 1);
  return moments;
}

// |t| of the two classes.
template <typename Find>
double Compare(int calls, const std::array<std::string, 2>& tokens,
               const Find& find) {
  std::mt19937 random(20150807);  // Any seed will do.
  std::array<std::vector<double>, 2> times;
  // From one buffer, so that the classes have nothing but their bytes to tell
  // them apart.
  std::string token = tokens[0];
  for (int i = 0; i < calls; ++i) {
    const int kind = static_cast<int>(random() & 1);
    std::copy(tokens[kind].begin(), tokens[kind].end(), token.begin());
    const Clock::time_point begin = Clock::now();
    const bool found = find(token);
    const Clock::duration time = Clock::now() - begin;
    if (found) std::abort();
    times[kind].push_back(
        std::chrono::duration<double, std::nano>(time).count());
  }
  std::vector<double> all = times[0];
  all.insert(all.end(), times[1].begin(), times[1].end());
  const auto last = all.begin() + static_cast<std::ptrdiff_t>(
                                      kKept * static_cast<double>(all.size()));
  std::nth_element(all.begin(), last, all.end());
  const Moments first = MomentsOf(times[0], *last);
  const Moments second = MomentsOf(times[1], *last);
  return std::abs(first.mean - second.mean) /
         std::sqrt(first.variance / first.count +
                   second.variance / second.count);
}

}  // namespace

int main(int argc, char** argv) {
  int calls = 0;
  if (argc != 2 || !absl::SimpleAtoi(argv[1], &calls) || calls < 1000) {
    std::fprintf(stderr, "usage: token_timing CALLS, at least 1000\n");
    return 2;
  }
  const std::string nearly = "a-token-of-which-much-is-known";
  const Digest near = DigestOf(nearly);
  std::string other = nearly;
  while (DigestOf(other)[0] == near[0]) ++other[0];

  std::vector<Digest> known;
  std::string file;
  for (int i = 1; i <= kKnown; ++i) {
    Digest digest = near;
    digest.back() = static_cast<std::uint8_t>(digest.back() + i);
    known.push_back(digest);
    absl::StrAppend(
        &file, "viewer token-", i, " sha256:",
        absl::BytesToHexString(absl::string_view(
            reinterpret_cast<const char*>(digest.data()), digest.size())),
        "\n");
  }
  const absl::StatusOr<CallersFile> callers = CallersFile::Parse(file);
  if (!callers.ok()) {
    std::fprintf(stderr, "%s\n", callers.status().ToString().c_str());
    return 1;
  }
  const StoppingComparison stopping(std::move(known));
  const std::array<std::string, 2> tokens = {other, nearly};
  const double ours = Compare(calls, tokens, [&callers](const auto& token) {
    return callers->FindToken(token).has_value();
  });
  const double control = Compare(calls, tokens, [&stopping](const auto& token) {
    return stopping.Find(token);
  });
  std::printf("%.2f %.2f\n", ours, control);
  return 0;
}
