#ifndef CONTAINERBUILDER_BUILD_PROGRESS_PARSER_H_
#define CONTAINERBUILDER_BUILD_PROGRESS_PARSER_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/line_splitter.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "process/process_runner.h"

namespace containerbuilder::service {

// Reads from what nerdctl prints anyway which steps run, how they end, and why
// the build failed. It only looks: what it does not understand changes nothing
// of what is relayed. Understands BuildKit's plain progress and, line by line,
// rawjson; with `--quiet` there is nothing to read.
//
// Not thread-safe.
class ProgressParser {
 public:
  // Takes the next bytes of a stream and answers the steps that changed, each
  // with all that is known of it.
  std::vector<v1::BuildStep> Feed(OutputStream stream, absl::string_view bytes,
                                  absl::Time now);

  // At the end: marks what was still running as cancelled, and answers those.
  std::vector<v1::BuildStep> Finish(absl::Time now);

  // Why the build failed, as far as the output tells: reason, message, step,
  // step_exit_code, log_tail and retryable. Call it after Finish.
  v1::BuildFailure Failure(const ExitStatus& status) const;

  // `sha256:...`, where the output told it.
  const std::string& image_digest() const { return image_digest_; }

 private:
  using Changes = std::vector<v1::BuildStep>;

  void ReadStdoutLine(absl::string_view line);
  void ReadStderrLine(absl::string_view line, absl::Time now, Changes& changes);
  void ReadPlainStep(absl::string_view line, absl::Time now, Changes& changes);
  bool ReadRawJson(absl::string_view line, absl::Time now, Changes& changes);
  void End(v1::BuildStep& step, v1::BuildStep::State state, absl::Time now,
           Changes& changes);
  void Fail(v1::BuildStep& step, absl::string_view error, absl::Time now,
            Changes& changes);
  void KeepTail(absl::string_view bytes);

  LineSplitter stdout_lines_{limits::kMaxProgressLineBytes};
  LineSplitter stderr_lines_{limits::kMaxProgressLineBytes};
  std::map<std::string, v1::BuildStep, std::less<>> steps_;  // by id
  std::string failed_step_;  // id of the first step that failed
  std::string error_line_;   // buildctl's `error: ...`, without that word
  std::string fatal_line_;   // nerdctl's `level=fatal msg="..."`
  std::string image_digest_;
  std::string tail_;  // the end of stderr
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_PROGRESS_PARSER_H_
