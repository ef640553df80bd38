#include "build/toolchain.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/utf8.h"
#include "build/command_line.h"

namespace containerbuilder::service {
namespace {

// Where programs are looked up if PATH is not set: what shutil.which takes,
// confstr(_CS_PATH).
constexpr absl::string_view kDefaultPath = "/bin:/usr/bin";

// Of what a program said, as much as a person reads.
constexpr std::size_t kMaxMessageBytes = 512;

bool IsExecutableFile(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 && S_ISREG(file.st_mode) &&
         access(path.c_str(), X_OK) == 0;
}

// Changes when another file, or other contents, is at `path`.
std::string Identity(const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) return path;
  return absl::StrCat(path, " ", file.st_dev, " ", file.st_ino, " ",
                      file.st_size, " ", file.st_mtim.tv_sec, " ",
                      file.st_mtim.tv_nsec);
}

// The last thing that a program said on stderr, without its decoration:
// nerdctl logs `time="..." level=fatal msg="..."`, buildctl `error: ...`. A Go
// program that panics says why first, `panic: ...`, and prints its stack.
std::string LastMessage(absl::string_view text) {
  const std::size_t panic = text.find("panic: ");
  if (panic != absl::string_view::npos &&
      (panic == 0 || text[panic - 1] == '\n')) {
    text = text.substr(panic, text.find('\n', panic) - panic);
  }
  text = absl::StripAsciiWhitespace(text);
  const std::size_t newline = text.rfind('\n');
  if (newline != absl::string_view::npos) text.remove_prefix(newline + 1);
  absl::ConsumePrefix(&text, "error: ");

  constexpr absl::string_view kMessage = " msg=\"";
  const std::size_t begin = text.find(kMessage);
  std::string message(text);
  if (begin != absl::string_view::npos) {
    absl::string_view quoted = text.substr(begin + kMessage.size());
    std::size_t end = 0;
    while (end < quoted.size() && quoted[end] != '"') {
      end += quoted[end] == '\\' ? 2 : 1;
    }
    quoted = quoted.substr(0, end);
    if (!absl::CUnescape(quoted, &message)) message = std::string(quoted);
  }
  return ToUtf8(absl::string_view(message).substr(0, kMaxMessageBytes));
}

}  // namespace

std::optional<std::string> FindProgram(absl::string_view name,
                                       absl::string_view path) {
  if (name.empty()) return std::nullopt;
  if (absl::StrContains(name, '/')) {
    std::string file(name);
    return IsExecutableFile(file) ? std::make_optional(std::move(file))
                                  : std::nullopt;
  }
  // An empty PATH has no entries, but an empty entry is the working folder.
  if (path.empty()) return std::nullopt;
  for (const absl::string_view folder : absl::StrSplit(path, ':')) {
    const bool needs_slash = !folder.empty() && folder.back() != '/';
    std::string file = absl::StrCat(folder, needs_slash ? "/" : "", name);
    if (IsExecutableFile(file)) return file;
  }
  return std::nullopt;
}

std::string FindVersion(absl::string_view text) {
  for (absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(" \t\r\n,"))) {
    absl::ConsumePrefix(&word, "v");
    if (!word.empty() && absl::ascii_isdigit(word.front()) &&
        absl::StrContains(word, '.')) {
      return ToUtf8(word);
    }
  }
  return "";
}

FlagMap ParseFlags(absl::string_view help) {
  FlagMap flags;
  for (absl::string_view line : absl::StrSplit(help, '\n')) {
    line = absl::StripTrailingAsciiWhitespace(line);
    // `  -t, --tag stringArray   text` or `      --no-cache   text`. Further
    // lines of a text are indented deeper.
    if (line.size() < 9 || line.substr(6, 2) != "--" ||
        (line.substr(0, 6) != "      " &&
         (line.substr(0, 3) != "  -" || line.substr(4, 2) != ", "))) {
      continue;
    }
    line.remove_prefix(8);
    std::size_t end = 0;
    while (end < line.size() &&
           (absl::ascii_isalnum(line[end]) || line[end] == '-' ||
            line[end] == '_' || line[end] == '.')) {
      ++end;
    }
    if (end == 0) continue;
    const absl::string_view name = line.substr(0, end);
    // One blank and then the type; columns are two or more blanks apart.
    line.remove_prefix(end);
    absl::string_view type;
    if (absl::ConsumePrefix(&line, " ")) type = line.substr(0, line.find("  "));
    // `string[="true"]` may stand alone, and `count` always does: the next
    // argument is not theirs.
    flags.emplace(name, !type.empty() && type != "count" &&
                            !absl::StrContains(type, "[="));
  }
  return flags;
}

Toolchain::Toolchain(ToolchainOptions options, Host host, ProcessRunner* runner)
    : options_(std::move(options)),
      host_(std::move(host)),
      runner_(runner),
      environment_([this] {
        std::map<std::string, std::string, std::less<>> environment = {
            {"PATH", std::string(kDefaultPath)}};
        for (const char* name : {"PATH", "HOME", "XDG_RUNTIME_DIR"}) {
          if (auto value = host_.getenv(name)) environment[name] = *value;
        }
        for (const auto& [name, setting] :
             {std::pair("BUILDKIT_HOST", &options_.buildkit_host),
              std::pair("CONTAINERD_ADDRESS", &options_.containerd_address),
              std::pair("CONTAINERD_NAMESPACE", &options_.containerd_namespace),
              std::pair("CONTAINERD_SNAPSHOTTER", &options_.snapshotter)}) {
          const std::string value =
              setting->empty() ? host_.getenv(name).value_or("") : *setting;
          if (!value.empty()) environment[name] = value;
        }
        return environment;
      }()) {}

std::optional<std::string> Toolchain::Find(absl::string_view name) const {
  std::optional<std::string> file = FindProgram(name, Variable("PATH"));
  if (file && !absl::StartsWith(*file, "/")) {
    file = absl::StrCat(host_.working_folder, "/", *file);
  }
  return file;
}

absl::StatusOr<std::string> Toolchain::FindNerdctl() const {
  if (options_.nerdctl.empty()) {
    if (std::optional<std::string> file = Find("nerdctl")) return *file;
    return errors::NerdctlNotFound(
        absl::StrCat("nerdctl was not found on the service's PATH (",
                     ToUtf8(Variable("PATH")),
                     "); install it, or name it by "
                     "--nerdctl. ",
                     InstallHint()));
  }
  const std::string path =
      absl::StartsWith(options_.nerdctl, "/")
          ? options_.nerdctl
          : absl::StrCat(host_.working_folder, "/", options_.nerdctl);
  if (IsExecutableFile(path)) return path;
  struct stat file;
  if (stat(path.c_str(), &file) != 0) {
    return errors::NerdctlNotFound(absl::StrCat("--nerdctl=", ToUtf8(path),
                                                ": ", std::strerror(errno),
                                                ". ", InstallHint()));
  }
  return errors::NerdctlNotExecutable(
      ToUtf8(path), absl::StrCat("--nerdctl=", ToUtf8(path),
                                 " is not a file that the service may "
                                 "execute. ",
                                 InstallHint()));
}

std::string Toolchain::InstallHint() const {
  if (host_.platform == Platform::kMacOs) {
    return "On macOS nerdctl runs in lima, by its BuildKit templates: see "
           "https://github.com/lima-vm/lima#getting-started";
  }
  return "To set up nerdctl with BuildKit, see "
         "https://github.com/containerd/nerdctl/blob/main/docs/build.md";
}

absl::StatusOr<NerdctlInfo> Toolchain::Nerdctl() {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::string path, FindNerdctl());
  const std::string identity = Identity(path);
  {
    absl::MutexLock lock(&mutex_);
    const bool shared = asking_;
    const auto is_idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !asking_;
    };
    mutex_.Await(absl::Condition(&is_idle));
    if (identity == identity_ &&
        (shared || (answer_.ok() && answer_->problem.empty()) ||
         host_.uptime() < believed_until_)) {
      return answer_;
    }
    asking_ = true;
  }
  const absl::Duration begun = host_.uptime();
  absl::StatusOr<NerdctlInfo> answer = AskNerdctl(path);
  const absl::Duration ended = host_.uptime();
  absl::MutexLock lock(&mutex_);
  asking_ = false;
  believed_until_ = ended - begun < limits::kSlowAnswerFreshness
                        ? ended
                        : ended + limits::kSlowAnswerFreshness;
  identity_ = identity;
  answer_ = answer;
  return answer;
}

absl::StatusOr<NerdctlInfo> Toolchain::AskNerdctl(
    const std::string& path) const {
  NerdctlInfo info;
  info.path = path;
  // A nerdctl that merely refuses these questions may build all the same.
  const auto ask = [&](const std::vector<std::string>& argv,
                       std::string& answer) -> absl::Status {
    absl::StatusOr<std::string> output = Ask(argv);
    if (output.ok()) {
      answer = *std::move(output);
    } else if (absl::IsUnknown(output.status())) {
      info.problem = std::string(output.status().message());
    } else {
      return errors::NerdctlNotExecutable(ToUtf8(path),
                                          output.status().message());
    }
    return absl::OkStatus();
  };
  std::string version;
  std::string help;
  CONTAINERBUILDER_RETURN_IF_ERROR(ask({path, "--version"}, version));
  CONTAINERBUILDER_RETURN_IF_ERROR(ask({path, "build", "--help"}, help));
  info.version = FindVersion(version);
  info.flags = ParseFlags(help);
  if (info.flags.empty() && info.problem.empty()) {
    info.problem = absl::StrCat(ToUtf8(path), " build --help: lists no flags");
  }
  return info;
}

absl::StatusOr<std::string> Toolchain::Ask(
    const std::vector<std::string>& argv) const {
  Command command;
  command.program = argv[0];
  command.argv = argv;
  command.environment = Environment();
  // Always there, unlike the service's own.
  command.working_folder = "/";
  absl::StatusOr<CapturedOutput> output =
      RunToEnd(*runner_, command, options_.probe_timeout);
  const std::string question = ToUtf8(CommandLine(argv));
  if (absl::IsDeadlineExceeded(output.status())) {
    return absl::DeadlineExceededError(
        absl::StrCat(question, ": did not answer within ",
                     absl::FormatDuration(options_.probe_timeout)));
  }
  if (!output.ok()) {
    // Not the runner's code: some errno, such as ENOEXEC, are UNKNOWN to it,
    // which here means that the program did run.
    return absl::UnavailableError(
        absl::StrCat(question, ": cannot be run: ", output.status().message()));
  }
  const ExitStatus& status = output->status;
  if (status.term_signal == 0 && status.exit_code == 0) {
    return std::move(output->stdout_data);
  }
  const std::string message = LastMessage(output->stderr_data);
  const std::string end =
      status.term_signal != 0
          ? absl::StrCat("was ended by signal ", status.term_signal)
          : absl::StrCat("exited with ", status.exit_code);
  // 126 and 127 are what shells and the dynamic linker say of a program that
  // never ran.
  const bool ran = status.term_signal == 0 && status.exit_code < 126;
  return absl::Status(
      ran ? absl::StatusCode::kUnknown : absl::StatusCode::kUnavailable,
      absl::StrCat(question, ": ", end, message.empty() ? "" : ": ", message));
}

std::vector<std::string> Toolchain::Environment() const {
  std::vector<std::string> environment;
  for (const auto& [name, value] : environment_) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

std::string Toolchain::Variable(absl::string_view name) const {
  const auto variable = environment_.find(name);
  return variable == environment_.end() ? "" : variable->second;
}

}  // namespace containerbuilder::service
