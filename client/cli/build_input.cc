#include "build_input.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "archive_unpack.h"
#include "build_flags.h"
#include "csv.h"
#include "docker_config.h"
#include "dockerfile.h"
#include "local_files.h"
#include "local_paths.h"
#include "same_folder.h"
#include "secret_values.h"
#include "status_line.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

// Of a context on standard input; the service takes less by default.
constexpr std::int64_t kMaxArchiveEntries = 500'000;
constexpr std::int64_t kMaxArchiveBytes = std::int64_t{16} * 1024 * 1024 * 1024;

std::string ModeOf(const CommandLine& line) {
  return ValueOf(line, "context-mode").value_or("auto");
}

absl::Status NotWithUpload(absl::string_view flag, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "--", flag, " does not go with a context that is uploaded: ", why));
}

bool IsLocalCache(const std::string& value) {
  const auto attributes = ReadAttributes(value);
  if (!attributes) return false;
  for (const Attribute& attribute : *attributes) {
    if (attribute.key == "type" && attribute.value == "local") return true;
  }
  return false;
}

// `NAME=PATH`, and not an image, a target or a URL.
bool IsFolderContext(const std::string& value) {
  const std::string source = value.substr(value.find('=') + 1);
  return !absl::StrContains(source, "://") &&
         !absl::StartsWith(source, "target:");
}

bool IsFolder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

// A flag that names files of this machine that cannot be sent, or is wrong.
absl::Status CheckFlag(const Flag& flag, const std::string& value) {
  const std::string name(flag.name);
  if (name == "ssh") {
    return NotWithUpload(name, "agents and keys stay on this machine");
  }
  if ((name == "cache-from" || name == "cache-to") && IsLocalCache(value)) {
    return NotWithUpload(name,
                         "a cache of type=local is a folder of the service's "
                         "machine; use type=registry or type=inline");
  }
  if (name == "build-context" && IsFolderContext(value)) {
    return NotWithUpload(name, "only images, targets and URLs can be named");
  }
  return name == "secret" ? CheckSecret(value) : absl::OkStatus();
}

// Passes SOURCE_DATE_EPOCH on, as nerdctl does with its own.
void SetEnvironment(const Surroundings& surroundings, v1::BuildSpec& spec) {
  const auto epoch = surroundings.environment("SOURCE_DATE_EPOCH");
  if (epoch && !epoch->empty()) {
    (*spec.mutable_environment())["SOURCE_DATE_EPOCH"] = *epoch;
  }
}

class UploadReader {
 public:
  UploadReader(const CommandLine& line, const Surroundings& surroundings,
               Leftovers& leftovers, const std::stop_token& stop)
      : line_(line),
        surroundings_(surroundings),
        leftovers_(leftovers),
        stop_(stop) {}

  absl::StatusOr<BuildInput> Read() {
    absl::Status status = ReadFlags();
    if (status.ok()) status = FindContext();
    if (status.ok()) status = ReadFiles();
    if (!status.ok()) return status;
    ReadLogins();
    SetEnvironment(surroundings_, input_.spec);
    return std::move(input_);
  }

 private:
  absl::Status ReadFlags() {
    v1::BuildOptions& options = *input_.spec.mutable_options();
    for (const auto& [flag, given] : line_.flags) {
      if (FindNerdctlBuildFlag(flag.name) == nullptr || flag.name == "file") {
        continue;
      }
      std::optional<std::string> value = given;
      if (flag.name == "secret") {
        absl::Status status = AddSecret(given, surroundings_, input_.spec);
        if (!status.ok()) return status;
        continue;
      }
      if (flag.name == "build-arg") {
        value = ResolveBuildArg(given, surroundings_);
      } else {
        value = input_.places.Take(flag, surroundings_.folder, given);
      }
      if (value) AddFlag(flag, *value, options);
    }
    return absl::OkStatus();
  }

  absl::Status FindContext() {
    if (line_.arguments.front() != "-") {
      folder_ = MakeAbsolute(surroundings_.folder, line_.arguments.front());
      if (IsFolder(folder_)) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("the context \"", folder_, "\" is not a folder"));
    }
    auto folder = MakeTemporaryFolder(leftovers_);
    if (!folder.ok()) return folder.status();
    folder_ = folder->path();
    input_.unpacked = *std::move(folder);
    const auto held = input_.unpacked.Hold();
    absl::Status status =
        client::UnpackArchive(STDIN_FILENO, folder_,
                              {.allow_compressed = true,
                               .max_entries = kMaxArchiveEntries,
                               .max_bytes = kMaxArchiveBytes,
                               .stop = stop_});
    if (status.ok()) return status;
    return absl::Status(
        status.code(),
        absl::StrCat("the context on standard input: ", status.message()));
  }

  // An archive is somebody else's: what it has for a Dockerfile and ignore
  // files must not be a link to what is the caller's.
  absl::Status CheckUnpacked(const std::string& file) const {
    std::vector<std::string> names = {"Dockerfile", "Containerfile"};
    if (!file.empty() && file != "-") names = {file};
    for (std::size_t i = names.size(); i > 0; --i) {
      names.push_back(absl::StrCat(names[i - 1], ".dockerignore"));
    }
    names.emplace_back(".dockerignore");
    std::error_code missing;
    const std::string inside = absl::StrCat(
        std::filesystem::canonical(folder_, missing).string(), "/");
    for (const std::string& name : names) {
      const std::string path = MakeAbsolute(folder_, name);
      // The caller may name a file of his own.
      if (!path.starts_with(absl::StrCat(folder_, "/"))) continue;
      const std::filesystem::path real =
          std::filesystem::canonical(path, missing);
      if (missing || real.string().starts_with(inside)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("\"", name,
                       "\" of the context on standard input is a link to what "
                       "is not in it"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadFiles() {
    const std::string file = ValueOf(line_, "file").value_or("");
    const bool is_unpacked = !input_.unpacked.path().empty();
    const std::string& folder = is_unpacked ? folder_ : surroundings_.folder;
    if (is_unpacked) {
      absl::Status status = CheckUnpacked(file);
      if (!status.ok()) return status;
    }
    auto dockerfile = file == "-"
                          ? ReadDockerfileFromStdin(stop_)
                          : ReadDockerfile(MakeAbsolute(folder, file), folder_);
    if (!dockerfile.ok()) return dockerfile.status();
    input_.spec.set_dockerfile(dockerfile->text);
    // What is ignored is not even sent.
    input_.spec.set_dockerignore("");
    StatusLine status_line;
    client::ContextOptions options = {
        .dockerignore = std::move(dockerfile->dockerignore), .stop = stop_};
    if (status_line.is_shown()) {
      options.progress = [&, shown = std::int64_t{0}](
                             const client::ContextProgress& progress) mutable {
        if (std::exchange(shown, progress.files) == progress.files) return;
        status_line.Show(
            absl::StrCat("reading the context, ", progress.files, " files"));
      };
    }
    auto context = client::LocalContext::Read(folder_, options);
    if (!context.ok()) return context.status();
    input_.context =
        std::make_shared<const client::LocalContext>(*std::move(context));
    input_.spec.set_context_digest(input_.context->digest());
    return absl::OkStatus();
  }

  void ReadLogins() {
    std::vector<std::string> texts;
    for (const auto& [flag, value] : line_.flags) texts.push_back(value);
    std::vector<std::string> warnings;
    for (v1::RegistryAuth& auth : ReadDockerCredentials(
             UsedRegistries(std::move(texts), input_.spec.dockerfile()),
             surroundings_, RunCredentialHelper, warnings)) {
      *input_.spec.add_registry_auths() = std::move(auth);
    }
    for (const std::string& warning : warnings) {
      PrintMessage(absl::StrCat("warning: ", warning));
    }
  }

  const CommandLine& line_;
  const Surroundings& surroundings_;
  Leftovers& leftovers_;
  const std::stop_token& stop_;
  BuildInput input_;
  std::string folder_;  // the context, absolute
};

}  // namespace

std::vector<std::string> ContextModes() { return {"auto", "path", "upload"}; }

absl::Status CheckBuildInput(const CommandLine& line,
                             const client::ClientOptions& options) {
  const auto context = ContextOf(line);
  if (!context.ok()) return context.status();
  const std::string mode = ModeOf(line);
  const std::vector<std::string> modes = ContextModes();
  if (std::ranges::find(modes, mode) == modes.end()) {
    return absl::InvalidArgumentError(absl::StrCat("--context-mode is one of ",
                                                   absl::StrJoin(modes, ", "),
                                                   ", not \"", mode, "\""));
  }
  if (*context == "-") {
    if (mode == "path") {
      return absl::InvalidArgumentError(
          "a context on standard input is uploaded: it has no path");
    }
    if (ValueOf(line, "file") == "-") {
      return absl::InvalidArgumentError(
          "context and Dockerfile cannot both be on standard input");
    }
    return CheckUpload(line);
  }
  if (mode == "path" || (mode == "auto" && MaySeeSameFolder(options))) {
    return absl::OkStatus();
  }
  return CheckUpload(line);
}

absl::Status CheckUpload(const CommandLine& line) {
  OutputPlaces places;
  for (const auto& [flag, value] : line.flags) {
    absl::Status status = CheckFlag(flag, value);
    if (!status.ok()) return status;
    places.Take(flag, "/", value);
  }
  if (IsOn(line, "detach") && !places.empty()) {
    return absl::InvalidArgumentError(
        "what --output and --iidfile make comes back to who waits for it: not "
        "with --detach");
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> IsUsedInPlace(const CommandLine& line,
                                   const Surroundings& surroundings,
                                   client::Client& client,
                                   const client::ClientOptions& options,
                                   Leftovers& leftovers) {
  const std::string mode = ModeOf(line);
  const std::string& context = line.arguments.front();
  if (mode != "auto" || context == "-") return mode == "path";
  if (!MaySeeSameFolder(options)) return false;
  const std::string folder = MakeAbsolute(surroundings.folder, context);
  // The service says best what is wrong with one that is none.
  if (!IsFolder(folder)) return true;
  return SeesSameFolder(client, folder, leftovers);
}

absl::StatusOr<BuildInput> ReadInPlace(const CommandLine& line,
                                       const Surroundings& surroundings,
                                       const std::stop_token& stop) {
  BuildInput input;
  CommandLine rest = line;
  if (ValueOf(line, "file") == "-") {
    std::erase_if(rest.flags, [](const GivenFlag& given) {
      return given.flag.name == "file";
    });
    const auto dockerfile = ReadDockerfileFromStdin(stop);
    if (!dockerfile.ok()) return dockerfile.status();
    input.spec.set_dockerfile(dockerfile->text);
  }
  auto options = MakeBuildOptions(rest, surroundings);
  if (!options.ok()) return options.status();
  *input.spec.mutable_options() = *std::move(options);
  SetEnvironment(surroundings, input.spec);
  return input;
}

absl::StatusOr<BuildInput> ReadUpload(const CommandLine& line,
                                      const Surroundings& surroundings,
                                      Leftovers& leftovers,
                                      const std::stop_token& stop) {
  return UploadReader(line, surroundings, leftovers, stop).Read();
}

}  // namespace containerbuilder::cli
