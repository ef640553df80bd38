#include "daemon/log_formatter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "spdlog/logger.h"
#include "spdlog/sinks/ostream_sink.h"

namespace containerbuilder::daemon {
namespace {

using namespace std::string_view_literals;
using ::testing::MatchesRegex;

class LogFormatterTest : public testing::Test {
 protected:
  LogFormatterTest() { logger_.set_formatter(MakeLogFormatter()); }

  std::ostringstream log_;
  spdlog::logger logger_{
      "name", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_)};
};

TEST_F(LogFormatterTest, LinesAreSpdlogs) {
  logger_.warn("{}: \"quoted\" \\ ~", "builds/1");
  std::ostringstream plain;
  spdlog::logger("name",
                 std::make_shared<spdlog::sinks::ostream_sink_mt>(plain))
      .warn("builds/1: \"quoted\" \\ ~");
  EXPECT_THAT(log_.str(), MatchesRegex("\\[[-0-9]+ [:0-9]+\\.[0-9]+\\] "
                                       "\\[name\\] \\[warning\\] .*\n"));
  // But for the time.
  EXPECT_EQ(log_.str().substr(25), plain.str().substr(25));
}

TEST_F(LogFormatterTest, WhatIsNotPrintableIsEscaped) {
  logger_.info("a\x1b]0;t\x07\n\t\0\x7f\x9b\xc3\xbcz"sv);
  EXPECT_THAT(log_.str(),
              testing::EndsWith(" [info] a\\x1b]0;t\\x07\\x0a\\x09\\x00\\x7f"
                                "\\x9b\\xc3\\xbcz\n"));
}

}  // namespace
}  // namespace containerbuilder::daemon
