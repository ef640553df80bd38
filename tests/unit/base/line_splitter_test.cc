#include "base/line_splitter.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using ::testing::ElementsAre;

class LineSplitterTest : public testing::Test {
 protected:
  void Feed(absl::string_view bytes) {
    splitter_.Feed(
        bytes, [this](absl::string_view line) { lines_.emplace_back(line); });
  }
  void Finish() {
    splitter_.Finish(
        [this](absl::string_view line) { lines_.emplace_back(line); });
  }

  LineSplitter splitter_{8};
  std::vector<std::string> lines_;
};

TEST_F(LineSplitterTest, JoinsWhatChunksCut) {
  Feed("a");
  Feed("b\nc\n\nd");
  EXPECT_THAT(lines_, ElementsAre("ab", "c", ""));
  Finish();
  EXPECT_THAT(lines_, ElementsAre("ab", "c", "", "d"));
}

TEST_F(LineSplitterTest, NothingIsLeftAfterAFinalNewline) {
  Feed("a\n");
  Finish();
  EXPECT_THAT(lines_, ElementsAre("a"));
}

TEST_F(LineSplitterTest, DropsOneCarriageReturn) {
  Feed("a\r\r\nb\r");
  Feed("\n");
  EXPECT_THAT(lines_, ElementsAre("a\r", "b"));
}

TEST_F(LineSplitterTest, KeepsTheBeginningOfALongLine) {
  for (int i = 0; i < 1000; ++i) Feed("0123456789");
  Feed("\nnext\n");
  EXPECT_THAT(lines_, ElementsAre("01234567", "next"));
}

}  // namespace
}  // namespace containerbuilder::service
