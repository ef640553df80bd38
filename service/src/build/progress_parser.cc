#include "build/progress_parser.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/strings/substitute.h"
#include "base/limits.h"
#include "base/timestamps.h"
#include "base/utf8.h"

namespace containerbuilder::service {
namespace {

constexpr absl::string_view kDigestPrefix = "sha256:";
constexpr std::size_t kDigestBytes = 7 + 64;

// The digest that `text` begins with, or nothing.
absl::string_view LeadingDigest(absl::string_view text) {
  const absl::string_view digest = text.substr(0, kDigestBytes);
  const bool is_digest = digest.size() == kDigestBytes &&
                         absl::StartsWith(digest, kDigestPrefix) &&
                         std::all_of(digest.begin() + kDigestPrefix.size(),
                                     digest.end(), absl::ascii_isxdigit);
  return is_digest ? digest : absl::string_view();
}

// Cuts text for an event or a record.
std::string Text(absl::string_view text) {
  return ToUtf8(text.substr(0, limits::kMaxStepTextBytes));
}

// What the number after the last "exit code: " says; 0 where there is none.
int ExitCode(absl::string_view error) {
  constexpr absl::string_view kMark = "exit code: ";
  const std::size_t at = error.rfind(kMark);
  if (at == absl::string_view::npos) return 0;
  absl::string_view digits = error.substr(at + kMark.size());
  std::size_t length = 0;
  while (length < digits.size() && absl::ascii_isdigit(digits[length])) {
    ++length;
  }
  int code = 0;
  return absl::SimpleAtoi(digits.substr(0, length), &code) ? code : 0;
}

bool ContainsAny(absl::string_view text,
                 std::initializer_list<absl::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](absl::string_view word) {
    return absl::StrContains(text, word);
  });
}

bool IsOver(v1::BuildStep::State state) {
  return state != v1::BuildStep::STATE_UNSPECIFIED &&
         state != v1::BuildStep::STATE_STARTED;
}

}  // namespace

std::vector<v1::BuildStep> ProgressParser::Feed(OutputStream stream,
                                                absl::string_view bytes,
                                                absl::Time now) {
  Changes changes;
  if (stream == OutputStream::kStdout) {
    stdout_lines_.Feed(
        bytes, [this](absl::string_view line) { ReadStdoutLine(line); });
  } else {
    KeepTail(bytes);
    stderr_lines_.Feed(bytes, [&](absl::string_view line) {
      ReadStderrLine(line, now, changes);
    });
  }
  return changes;
}

std::vector<v1::BuildStep> ProgressParser::Finish(absl::Time now) {
  Changes changes;
  stdout_lines_.Finish(
      [this](absl::string_view line) { ReadStdoutLine(line); });
  stderr_lines_.Finish(
      [&](absl::string_view line) { ReadStderrLine(line, now, changes); });
  for (auto& [id, step] : steps_) {
    End(step, v1::BuildStep::STATE_CANCELLED, now, changes);
  }
  return changes;
}

void ProgressParser::ReadStdoutLine(absl::string_view line) {
  // With --quiet nerdctl prints the digest alone; else
  // `unpacking docker.io/library/app:latest (sha256:...)...`.
  if (absl::ConsumePrefix(&line, "unpacking ")) {
    const std::size_t at = line.find(" (sha256:");
    if (at == absl::string_view::npos) return;
    line.remove_prefix(at + 2);
  } else if (line.size() != kDigestBytes) {
    return;
  }
  if (const absl::string_view digest = LeadingDigest(line); !digest.empty()) {
    image_digest_ = std::string(digest);
  }
}

void ProgressParser::ReadStderrLine(absl::string_view line, absl::Time now,
                                    Changes& changes) {
  if (absl::ConsumePrefix(&line, "#")) {
    ReadPlainStep(line, now, changes);
  } else if (absl::StartsWith(line, "{")) {
    ReadRawJson(line, now, changes);
  } else if (absl::ConsumePrefix(&line, "error: ")) {
    error_line_ = Text(line);
  } else if (absl::StrContains(line, "level=fatal msg=")) {
    line.remove_prefix(line.find("msg=") + 4);
    fatal_line_ = Text(line);
    // logrus quotes as Go does; for people the outer quotes are noise.
    if (fatal_line_.size() >= 2 && fatal_line_.front() == '"' &&
        fatal_line_.back() == '"') {
      fatal_line_ = fatal_line_.substr(1, fatal_line_.size() - 2);
    }
  }
}

// `line` is what follows `#`: `5 [2/3] RUN make`, `5 0.123 output`,
// `5 CACHED`, `5 DONE 0.2s`, `5 CANCELED`, `5 ERROR: ...`.
void ProgressParser::ReadPlainStep(absl::string_view line, absl::Time now,
                                   Changes& changes) {
  const std::size_t space = line.find(' ');
  if (space == 0 || space == absl::string_view::npos) return;
  const absl::string_view id = line.substr(0, space);
  if (!std::all_of(id.begin(), id.end(), absl::ascii_isdigit)) return;
  const absl::string_view text = line.substr(space + 1);

  auto found = steps_.find(id);
  if (found == steps_.end()) {
    if (steps_.size() >= limits::kMaxProgressSteps) return;
    // The first line of a step is its name.
    v1::BuildStep& step = steps_[std::string(id)];
    step.set_id(std::string(id));
    step.set_name(Text(text));
    step.set_state(v1::BuildStep::STATE_STARTED);
    *step.mutable_create_time() = ToTimestamp(now);
    *step.mutable_start_time() = step.create_time();
    changes.push_back(step);
    return;
  }
  v1::BuildStep& step = found->second;
  if (text == "CACHED") {
    End(step, v1::BuildStep::STATE_CACHED, now, changes);
  } else if (absl::StartsWith(text, "DONE ")) {
    End(step, v1::BuildStep::STATE_COMPLETED, now, changes);
  } else if (text == "CANCELED") {
    End(step, v1::BuildStep::STATE_CANCELLED, now, changes);
  } else if (absl::StartsWith(text, "ERROR: ")) {
    Fail(step, text.substr(7), now, changes);
  } else if (absl::StartsWith(text, "exporting manifest ")) {
    // Also `exporting manifest list sha256:...`, which comes later and is the
    // image's digest then.
    const std::size_t at = text.rfind(' ', text.find(kDigestPrefix));
    if (at == absl::string_view::npos) return;
    image_digest_ = std::string(LeadingDigest(text.substr(at + 1)));
  }
}

// One line of `--progress rawjson`: a BuildKit SolveStatus.
bool ProgressParser::ReadRawJson(absl::string_view line, absl::Time now,
                                 Changes& changes) {
  google::protobuf::Struct status;
  if (!google::protobuf::util::JsonStringToMessage({line.data(), line.size()},
                                                   &status)
           .ok()) {
    return false;
  }
  const auto vertexes = status.fields().find("vertexes");
  if (vertexes == status.fields().end()) return false;
  for (const auto& value : vertexes->second.list_value().values()) {
    const auto& fields = value.struct_value().fields();
    const auto text = [&fields](const char* key) -> std::string {
      const auto field = fields.find(key);
      return field == fields.end() ? "" : field->second.string_value();
    };
    const std::string id = text("digest");
    if (id.empty()) continue;
    auto found = steps_.find(id);
    if (found == steps_.end()) {
      if (steps_.size() >= limits::kMaxProgressSteps) return true;
      found = steps_.emplace(id, v1::BuildStep()).first;
      found->second.set_id(id);
      *found->second.mutable_create_time() = ToTimestamp(now);
    }
    v1::BuildStep& step = found->second;
    step.set_name(Text(text("name")));
    if (!text("started").empty() &&
        step.state() == v1::BuildStep::STATE_UNSPECIFIED) {
      step.set_state(v1::BuildStep::STATE_STARTED);
      *step.mutable_start_time() = ToTimestamp(now);
      changes.push_back(step);
    }
    const auto cached = fields.find("cached");
    if (!text("error").empty()) {
      Fail(step, text("error"), now, changes);
    } else if (cached != fields.end() && cached->second.bool_value()) {
      End(step, v1::BuildStep::STATE_CACHED, now, changes);
    } else if (!text("completed").empty()) {
      End(step, v1::BuildStep::STATE_COMPLETED, now, changes);
    }
  }
  return true;
}

void ProgressParser::End(v1::BuildStep& step, v1::BuildStep::State state,
                         absl::Time now, Changes& changes) {
  if (IsOver(step.state())) return;
  step.set_state(state);
  *step.mutable_finish_time() = ToTimestamp(now);
  changes.push_back(step);
}

void ProgressParser::Fail(v1::BuildStep& step, absl::string_view error,
                          absl::Time now, Changes& changes) {
  if (IsOver(step.state())) return;
  step.set_error(Text(error));
  if (failed_step_.empty()) failed_step_ = step.id();
  End(step, v1::BuildStep::STATE_FAILED, now, changes);
}

void ProgressParser::KeepTail(absl::string_view bytes) {
  if (bytes.size() >= limits::kLogTailBytes) {
    tail_ = std::string(bytes.substr(bytes.size() - limits::kLogTailBytes));
    return;
  }
  absl::StrAppend(&tail_, bytes);
  // Cutting at twice the size makes it one copy per kLogTailBytes printed.
  if (tail_.size() > 2 * limits::kLogTailBytes) {
    tail_.erase(0, tail_.size() - limits::kLogTailBytes);
  }
}

v1::BuildFailure ProgressParser::Failure(const ExitStatus& status) const {
  v1::BuildFailure failure;
  const auto failed = steps_.find(failed_step_);
  if (failed != steps_.end()) failure.set_step(failed->second.name());
  const std::string step_error =
      failed == steps_.end() ? "" : failed->second.error();

  absl::string_view tail = tail_;
  if (tail.size() > limits::kLogTailBytes) {
    tail.remove_prefix(tail.size() - limits::kLogTailBytes);
  }
  std::size_t lines = 0;
  for (std::size_t i = tail.size(); i-- > 0;) {
    // The final newline ends a line and does not begin one.
    if (tail[i] != '\n' || i + 1 == tail.size()) continue;
    if (++lines == limits::kLogTailLines) {
      tail.remove_prefix(i + 1);
      break;
    }
  }
  failure.set_log_tail(std::string(tail));

  if (status.term_signal != 0) {
    failure.set_reason("KILLED");
    failure.set_message(absl::Substitute("nerdctl was ended by signal $0 ($1)",
                                         status.term_signal,
                                         strsignal(status.term_signal)));
    return failure;
  }
  // buildctl's word says more than nerdctl's, which only tells that no image
  // came of it.
  const std::string& message = !error_line_.empty() ? error_line_ : fatal_line_;
  failure.set_message(
      message.empty()
          ? absl::StrCat("nerdctl exited with code ", status.exit_code)
          : message);

  const std::string said = absl::StrCat(error_line_, "\n", fatal_line_);
  const std::string all = absl::StrCat(said, "\n", tail_);
  const bool no_dockerfile =
      absl::StartsWith(fatal_line_, "lstat ") &&
      ContainsAny(fatal_line_, {"Containerfile", "Dockerfile"});
  if (no_dockerfile ||
      ContainsAny(said, {"dockerfile parse error", "failed to read dockerfile",
                         "failed to create LLB definition",
                         "the Dockerfile cannot be empty",
                         "file with no instructions", "target stage"})) {
    failure.set_reason("DOCKERFILE_INVALID");
  } else if (ContainsAny(said, {"failed to push"})) {
    failure.set_reason("PUSH_FAILED");
    failure.set_retryable(
        !ContainsAny(said, {"denied", "authorization failed", "unauthorized"}));
  } else if (failed != steps_.end()) {
    failure.set_reason("STEP_FAILED");
    failure.set_step_exit_code(ExitCode(step_error));
  } else if (ContainsAny(all, {"no buildkit host is available",
                               "failed to ping to host",
                               "buildkitd` needs to be running",
                               "buildkitd.sock: connect"}) ||
             ContainsAny(error_line_,
                         {"failed to list workers", "connection refused",
                          "failed to receive status", "code = Unavailable"})) {
    failure.set_reason("BUILDKIT_UNAVAILABLE");
    failure.set_retryable(true);
  } else if (ContainsAny(
                 all, {"cannot access containerd socket", "containerd.sock"})) {
    failure.set_reason("CONTAINERD_UNAVAILABLE");
    failure.set_retryable(true);
  } else if (ContainsAny(fatal_line_, {"unpack", "failed to extract layer",
                                       "unrecognized image format",
                                       "unable to tag image"})) {
    failure.set_reason("IMAGE_LOAD_FAILED");
  } else {
    failure.set_reason("UNKNOWN");
  }
  return failure;
}

}  // namespace containerbuilder::service
