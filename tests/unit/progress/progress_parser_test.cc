#include "build/progress_parser.h"

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What nerdctl 1.7.7 with buildctl 0.34.2 printed.
constexpr absl::string_view kFailingRun =
    R"(#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 184B done
#1 DONE 0.0s

#4 [1/3] COPY busybox /bin/busybox
#4 CACHED

#6 [3/3] RUN ["/bin/busybox","sh","-c","echo bad; exit 7"]
#6 0.105 bad
#6 0.106 #4 ERROR: forged
#6 ERROR: process "/bin/busybox sh -c echo bad; exit 7" did not complete successfully: exit code: 7
------
 > [3/3] RUN ["/bin/busybox","sh","-c","echo bad; exit 7"]:
0.105 bad
------
Dockerfile:4
--------------------
   4 | >>> RUN ["/bin/busybox","sh","-c","echo bad; exit 7"]
--------------------
error: failed to solve: process "/bin/busybox sh -c echo bad; exit 7" did not complete successfully: exit code: 7
time="2026-11-23T23:31:08Z" level=fatal msg="no image was built"
)";

constexpr char kManifest[] =
    "sha256:178db97bd755e6ec5345226d76cf58e540a269157fba3b6ac5665d5ea578201a";

class ProgressParserTest : public testing::Test {
 protected:
  // Feeds in chunks of `size` bytes and collects `id name STATE`.
  void Feed(absl::string_view text, std::size_t size = 1'000'000,
            OutputStream stream = OutputStream::kStderr) {
    for (; !text.empty(); text.remove_prefix(std::min(size, text.size()))) {
      Collect(parser_.Feed(stream, text.substr(0, size), now_));
    }
  }

  void Finish() { Collect(parser_.Finish(now_)); }

  void Collect(const std::vector<v1::BuildStep>& steps) {
    for (const v1::BuildStep& step : steps) {
      seen_.push_back(absl::StrCat(step.id(), " ", step.name(), " ",
                                   v1::BuildStep::State_Name(step.state())));
    }
  }

  // The failure of nerdctl's exit 1 after these lines.
  v1::BuildFailure FailureOf(absl::string_view stderr_text) {
    ProgressParser parser;
    parser.Feed(OutputStream::kStderr, stderr_text, now_);
    parser.Finish(now_);
    return parser.Failure({.exit_code = 1});
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'000);
  ProgressParser parser_;
  std::vector<std::string> seen_;
};

TEST_F(ProgressParserTest, TellsStepsWhateverTheChunks) {
  for (const std::size_t size : {1UL, 7UL, 100'000UL}) {
    parser_ = ProgressParser();
    seen_.clear();
    Feed(kFailingRun, size);
    Finish();
    EXPECT_THAT(
        seen_,
        ElementsAre(
            "1 [internal] load build definition from Dockerfile STATE_STARTED",
            "1 [internal] load build definition from Dockerfile "
            "STATE_COMPLETED",
            "4 [1/3] COPY busybox /bin/busybox STATE_STARTED",
            "4 [1/3] COPY busybox /bin/busybox STATE_CACHED",
            R"(6 [3/3] RUN ["/bin/busybox","sh","-c","echo bad; exit 7"] STATE_STARTED)",
            R"(6 [3/3] RUN ["/bin/busybox","sh","-c","echo bad; exit 7"] STATE_FAILED)"));
  }
}

TEST_F(ProgressParserTest, ExplainsAFailingRun) {
  Feed(kFailingRun);
  Finish();
  const v1::BuildFailure failure = parser_.Failure({.exit_code = 1});
  EXPECT_EQ(failure.reason(), "STEP_FAILED");
  EXPECT_EQ(failure.step(),
            R"([3/3] RUN ["/bin/busybox","sh","-c","echo bad; exit 7"])");
  EXPECT_EQ(failure.step_exit_code(), 7);
  EXPECT_THAT(failure.message(), testing::StartsWith("failed to solve: "));
  EXPECT_EQ(failure.log_tail(), kFailingRun);
  EXPECT_FALSE(failure.retryable());
}

TEST_F(ProgressParserTest, ReadsRawJson) {
  Feed(
      R"({"vertexes":[{"digest":"sha256:ce1b","name":"[2/2] RUN x","started":"2026-11-23T23:31:09Z"}]}
{"logs":[{"vertex":"sha256:ce1b","stream":1,"data":"YmFkCg=="}]}
{"vertexes":[{"digest":"sha256:ce1b","name":"[2/2] RUN x","started":"2026-11-23T23:31:09Z","completed":"2026-11-23T23:31:10Z","error":"process \"x\" did not complete successfully: exit code: 42"}]}
{"vertexes":[{"digest":"sha256:aa","name":"c","started":"t","completed":"t","cached":true}]}
{"vertexes":7}
{"vertexes":[1,{"digest":2}]}
{broken
error: failed to solve: process "x" did not complete successfully: exit code: 42
)");
  Finish();
  EXPECT_THAT(seen_, ElementsAre("sha256:ce1b [2/2] RUN x STATE_STARTED",
                                 "sha256:ce1b [2/2] RUN x STATE_FAILED",
                                 "sha256:aa c STATE_STARTED",
                                 "sha256:aa c STATE_CACHED"));
  const v1::BuildFailure failure = parser_.Failure({.exit_code = 1});
  EXPECT_EQ(failure.reason(), "STEP_FAILED");
  EXPECT_EQ(failure.step(), "[2/2] RUN x");
  EXPECT_EQ(failure.step_exit_code(), 42);
}

TEST_F(ProgressParserTest, NamesTheReason) {
  // The last words of nerdctl for each, as it printed them.
  EXPECT_EQ(FailureOf("error: failed to solve: dockerfile parse error on line "
                      "2: unknown instruction: COPX (did you mean COPY?)\n")
                .reason(),
            "DOCKERFILE_INVALID");
  EXPECT_EQ(FailureOf("error: failed to solve: target stage \"nope\" could not "
                      "be found\n")
                .reason(),
            "DOCKERFILE_INVALID");
  EXPECT_EQ(FailureOf("time=\"t\" level=fatal msg=\"lstat /x/Containerfile: no "
                      "such file or directory\"\n")
                .reason(),
            "DOCKERFILE_INVALID");
  const v1::BuildFailure copy = FailureOf(
      "#4 [1/1] COPY nope /x\n#4 ERROR: failed to calculate checksum of ref "
      "m::a: \"/nope\": not found\nerror: failed to solve: failed to compute "
      "cache key: \"/nope\": not found\n");
  EXPECT_EQ(copy.reason(), "STEP_FAILED");
  EXPECT_EQ(copy.step(), "[1/1] COPY nope /x");
  EXPECT_EQ(copy.step_exit_code(), 0);
  const v1::BuildFailure push = FailureOf(
      "#6 exporting to image\n#6 pushing layers done\n#6 ERROR: failed to push "
      "localhost:1/x: connect: connection refused\nerror: failed to solve: "
      "failed to push localhost:1/x: connect: connection refused\n");
  EXPECT_EQ(push.reason(), "PUSH_FAILED");
  EXPECT_TRUE(push.retryable());
  EXPECT_FALSE(FailureOf("error: failed to solve: failed to push r/x: denied: "
                         "requested access to the resource is denied\n")
                   .retryable());
  const v1::BuildFailure buildkit = FailureOf(
      "time=\"t\" level=error msg=\"error: failed to list workers: "
      "Unavailable\"\ntime=\"t\" level=fatal msg=\"`buildctl` needs to be "
      "installed and `buildkitd` needs to be running, see x: exit status "
      "1\"\n");
  EXPECT_EQ(buildkit.reason(), "BUILDKIT_UNAVAILABLE");
  EXPECT_TRUE(buildkit.retryable());
  EXPECT_THAT(buildkit.message(), testing::StartsWith("`buildctl` needs"));
  const v1::BuildFailure containerd = FailureOf(
      "time=\"t\" level=fatal msg=\"cannot access containerd socket "
      "\\\"/nope.sock\\\": no such file or directory\"\n");
  EXPECT_EQ(containerd.reason(), "CONTAINERD_UNAVAILABLE");
  EXPECT_TRUE(containerd.retryable());
  EXPECT_EQ(
      FailureOf("time=\"t\" level=fatal msg=\"no image was built\"\n").reason(),
      "UNKNOWN");
}

// What a RUN step prints is no word of BuildKit's, whatever it says.
TEST_F(ProgressParserTest, IsNotFooledByTheBuildsOwnOutput) {
  const v1::BuildFailure failure = FailureOf(
      "#5 [1/1] RUN x\n#5 0.1 error: failed to push\n#5 0.1 buildkitd` needs "
      "to be running\n#5 ERROR: process \"x\" did not complete successfully: "
      "exit code: 3\nerror: failed to solve: process \"x\" did not complete "
      "successfully: exit code: 3\n");
  EXPECT_EQ(failure.reason(), "STEP_FAILED");
  EXPECT_EQ(failure.step_exit_code(), 3);
}

TEST_F(ProgressParserTest, SaysWhichSignal) {
  const v1::BuildFailure failure =
      parser_.Failure({.exit_code = 0, .term_signal = SIGKILL});
  EXPECT_EQ(failure.reason(), "KILLED");
  EXPECT_THAT(failure.message(), testing::HasSubstr("signal 9"));
}

TEST_F(ProgressParserTest, SaysTheExitCodeWhereThereIsNothingElse) {
  EXPECT_EQ(parser_.Failure({.exit_code = 5}).message(),
            "nerdctl exited with code 5");
}

TEST_F(ProgressParserTest, MarksWhatStillRanAsCancelled) {
  Feed("#1 a\n#2 b\n#1 DONE 0.1s\n#3 c\n#3 CANCELED\n");
  seen_.clear();
  Finish();
  EXPECT_THAT(seen_, ElementsAre("2 b STATE_CANCELLED"));
}

TEST_F(ProgressParserTest, FindsTheImageDigest) {
  Feed(absl::StrCat("#6 exporting to image\n#6 exporting manifest ", kManifest,
                    " done\n"));
  EXPECT_EQ(parser_.image_digest(), kManifest);

  const std::string list = absl::StrCat("sha256:", std::string(64, 'a'));
  Feed(absl::StrCat("#6 exporting manifest list ", list, "\n"));
  EXPECT_EQ(parser_.image_digest(), list);

  Feed(absl::StrCat("unpacking docker.io/library/a:latest (", kManifest,
                    ")...\n"),
       1, OutputStream::kStdout);
  EXPECT_EQ(parser_.image_digest(), kManifest);
}

TEST_F(ProgressParserTest, FindsTheImageDigestOfAQuietBuild) {
  Feed(absl::StrCat(kManifest, "\n"), 1, OutputStream::kStdout);
  EXPECT_EQ(parser_.image_digest(), kManifest);
}

TEST_F(ProgressParserTest, TakesNoOtherTextForADigest) {
  Feed(absl::StrCat("sha256:", std::string(63, 'a'),
                    "g\nunpacking x (sha256:", "a)...\nunpacking\n"),
       1, OutputStream::kStdout);
  Feed("#1 exporting\n#1 exporting manifest \n#1 exporting manifest sha256:\n");
  EXPECT_THAT(parser_.image_digest(), IsEmpty());
}

TEST_F(ProgressParserTest, KeepsTheLastLinesAndBytes) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) absl::StrAppend(&text, "line ", i, "\n");
  Feed(text, 1000);
  std::string expected;
  for (int i = 99'960; i < 100'000; ++i) {
    absl::StrAppend(&expected, "line ", i, "\n");
  }
  EXPECT_EQ(parser_.Failure({.exit_code = 1}).log_tail(), expected);

  Feed(std::string(100'000, 'x'), 3000);
  EXPECT_EQ(parser_.Failure({.exit_code = 1}).log_tail(),
            std::string(limits::kLogTailBytes, 'x'));
}

TEST_F(ProgressParserTest, IgnoresWhatItDoesNotUnderstand) {
  std::string noise;
  for (int i = 0; i < 100'000; ++i) {
    noise += static_cast<char>((i * 7919) % 251);
  }
  Feed(noise, 777);
  Feed("\n#\n# \n#1\n#x y\n#1 \n#99999999999999999999 name\n");
  Finish();
  const v1::BuildFailure failure = parser_.Failure({.exit_code = 1});
  EXPECT_EQ(failure.reason(), "UNKNOWN");
}

TEST_F(ProgressParserTest, NamesAreValidUtf8AndBounded) {
  Feed(absl::StrCat("#1 \xff", std::string(50'000, 'n'), "\n"));
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_LE(seen_[0].size(), limits::kMaxStepTextBytes + 20);
  EXPECT_EQ(seen_[0][2], '?');
}

}  // namespace
}  // namespace containerbuilder::service
