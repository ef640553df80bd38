// Plays nerdctl 1.7.7 and, when called by that name, buildctl.
//
//   nerdctl --version | version | build --help | build [flags] CONTEXT
//   buildctl --version | debug workers
//
// `build` does what the file CONTEXT/fake.txt says, one directive a line, in
// order, and then exits with 0; without that file it prints a short log and
// succeeds. Any other call answers as the real program does unless a file
// PROGRAM_ARGUMENT.txt of directives lies beside argv[0] for one of the
// arguments: `nerdctl_version.txt` for `nerdctl version`.
//
// STREAM is `stdout` or `stderr`; TEXT reaches to the end of the line and may
// hold \n, \t, \\ and \xHH; a relative PATH is taken from the working folder.
// A file is complete once it is there.
//
//   # ...                      a comment
//   stdout TEXT, stderr TEXT   writes TEXT, adding nothing
//   bytes STREAM COUNT SEED    writes COUNT bytes, the i-th being the top byte
//                              of x(i): x(0) = SEED, x(i) = x(i-1) *
//                              6364136223846793005 + 1442695040888963407
//                              (mod 2^64; i from 1)
//   lines STREAM COUNT         writes "line 1\n", "line 2\n", ... one by one
//   flood COUNT SEED           writes COUNT bytes to each stream at the same
//                              time: `bytes` with SEED and with SEED + 1
//   sleep SECONDS
//   wait-file PATH             waits until the file exists
//   touch PATH
//   copy FROM TO
//   close-pipes                closes stdout and stderr
//   ignore-term                ignores SIGTERM, as do children from then on
//   heed-term                  ends that
//   pid PATH                   appends the pid and a newline to the file; later
//                              children do so too before the next directive
//   fork-hold SECONDS          a child in the same group that keeps the pipes
//   fork-close SECONDS         the same with no pipe
//   setsid-hold SECONDS        a grandchild in a session of its own that keeps
//                              the pipes
//   setsid-close SECONDS       the same with no pipe
//   setsid-exec SECONDS        the same, executing /bin/sleep, and not waited
//                              for to come so far
//   setsid-bare SECONDS        like setsid-hold with an empty environment
//   setsid-flood SECONDS       like setsid-hold, writing to stdout all the time
//   dump-args PATH             argv, each with a NUL behind it
//   dump-env PATH              the environment, likewise
//   dump-state PATH            lines of a name and a value: `fd N TARGET`, `cwd
//                              PATH`, `pid N`, `pgid N`, `sid N`, and SigBlk:,
//                              SigIgn:, SigCgt: as in /proc/self/status
//   secret STREAM ID           writes the file that --secret names for that id
//   docker-config STREAM       writes DOCKER_CONFIG's config.json; nothing
//   where
//                              there is none
//   exit N
//   signal N                   dies of the signal

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Seconds = std::chrono::duration<double>;

constexpr char kVersion[] = "nerdctl version 1.7.7\n";

constexpr char kVersions[] =
    "Client:\n"
    " Version:\tv1.7.7\n"
    " OS/Arch:\tlinux/amd64\n"
    " Git commit:\t5882c720f4e7f358fb26b759e514b3ae9dd8ea93\n"
    " buildctl:\n"
    "  Version:\tv0.34.2\n"
    "  GitCommit:\t\n"
    "\n"
    "Server:\n"
    " containerd:\n"
    "  Version:\tv1.7.22\n"
    "  GitCommit:\t7f7fdf5fed64eb6a7caf99b3e12efcf9d60e311c\n"
    " runc:\n"
    "  Version:\t1.1.14\n"
    "  GitCommit:\tv1.1.14-0-g2c9f5602\n";

// As nerdctl 1.7.7 prints it, byte for byte.
constexpr char kBuildHelp[] =
    R"(Build an image from a Dockerfile. Needs buildkitd to be running.
If Dockerfile is not present and -f is not specified, it will look for Containerfile and build with it.

Usage: nerdctl build [flags] PATH

Flags:
      --allow stringArray        Allow extra privileged entitlement, e.g. network.host, security.insecure
      --build-arg stringArray    Set build-time variables
      --buildkit-host string     BuildKit address [$BUILDKIT_HOST] (default "unix:///run/buildkit/buildkitd.sock")
      --cache-from stringArray   External cache sources (eg. user/app:cache, type=local,src=path/to/dir)
      --cache-to stringArray     Cache export destinations (eg. user/app:cache, type=local,dest=path/to/dir)
  -f, --file string              Name of the Dockerfile
  -h, --help                     help for build
      --iidfile string           Write the image ID to the file
      --label stringArray        Set metadata for an image
      --network string           Set type of network for build (format:network=default|none|host) (default "default")
      --no-cache                 Do not use cache when building the image
  -o, --output string            Output destination (format: type=local,dest=path)
      --platform strings         Set target platform for build (e.g., "amd64", "arm64")
      --progress string          Set type of progress output (auto, plain, tty). Use plain to show container output (default "auto")
  -q, --quiet                    Suppress the build output and print image ID on success
      --rm                       Remove intermediate containers after a successful build (default true)
      --secret stringArray       Secret file to expose to the build: id=mysecret,src=/local/secret
      --ssh stringArray          SSH agent socket or keys to expose to the build (format: default|<id>[=<socket>|<key>[,<key>]])
  -t, --tag stringArray          Name and optionally a tag in the 'name:tag' format
      --target string            Set the target build stage to build

See also 'nerdctl --help' for the global flags such as '--namespace', '--snapshotter', and '--cgroup-manager'.
)";

constexpr char kBuildLog[] =
    "#1 [internal] load build definition from Dockerfile\n"
    "#1 transferring dockerfile: 77B done\n"
    "#1 DONE 0.0s\n"
    "\n"
    "#2 [internal] load .dockerignore\n"
    "#2 transferring context: 2B done\n"
    "#2 DONE 0.0s\n"
    "\n"
    "#3 [1/2] COPY busybox /bin/busybox\n"
    "#3 CACHED\n"
    "\n"
    "#4 [2/2] RUN [\"/bin/busybox\", \"echo\", \"hello\"]\n"
    "#4 0.031 hello\n"
    "#4 DONE 0.1s\n"
    "\n"
    "#5 exporting to docker image format\n"
    "#5 exporting layers 0.0s done\n"
    "#5 DONE 0.1s\n";

constexpr char kBuildctlVersion[] =
    "buildctl github.com/moby/buildkit v0.34.2 "
    "0123456789abcdef0123456789abcdef01234567\n";

constexpr char kBuildctlWorkers[] =
    "ID\t\t\t\tPLATFORMS\n"
    "fakeworker0000000000000000\tlinux/amd64,linux/amd64/v2,linux/386\n";

[[noreturn]] void Fail(const std::string& what) {
  std::perror(("fake_nerdctl: " + what).c_str());
  _exit(125);
}

void WriteAll(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t written = write(fd, data, size);
    if (written < 0) Fail("write");
    data += written;
    size -= written;
  }
}

void WriteAll(int fd, const std::string& text) {
  WriteAll(fd, text.data(), text.size());
}

void WriteBytes(int fd, std::uint64_t count, std::uint64_t x) {
  std::string block;
  while (count > 0) {
    // Of no round size, so that reads do not fall on its borders.
    block.resize(std::min<std::uint64_t>(count, 10'007));
    for (char& byte : block) {
      x = x * 6364136223846793005 + 1442695040888963407;
      byte = static_cast<char>(x >> 56);
    }
    WriteAll(fd, block);
    count -= block.size();
  }
}

std::string Unescape(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      result += text[i];
      continue;
    }
    switch (const char kind = text[++i]) {
      case 'n':
        result += '\n';
        break;
      case 't':
        result += '\t';
        break;
      case 'x':
        result +=
            static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
        i += 2;
        break;
      default:
        result += kind;
    }
  }
  return result;
}

void Sleep(double seconds) { std::this_thread::sleep_for(Seconds(seconds)); }

// Writes the file beside its place first, so that whoever waits for it finds
// all of it.
void Dump(const std::string& path, const std::string& content) {
  const std::string unfinished = path + ".unfinished";
  std::ofstream(unfinished, std::ios::binary) << content;
  fs::rename(unfinished, path);
}

std::string State() {
  std::ostringstream state;
  for (int fd = 0; fd < 65536; ++fd) {
    char target[4096];
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t size = readlink(link.c_str(), target, sizeof(target));
    if (size < 0) continue;
    state << "fd " << fd << ' ' << std::string(target, size) << '\n';
  }
  state << "cwd " << fs::current_path().string() << '\n'
        << "pid " << getpid() << '\n'
        << "pgid " << getpgrp() << '\n'
        << "sid " << getsid(0) << '\n';
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Sig", 0) == 0 && line.rfind("SigQ", 0) != 0) {
      state << line << '\n';
    }
  }
  return state.str();
}

// Empty where there is none.
std::string ReadFile(const std::string& path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

class Script {
 public:
  explicit Script(std::vector<std::string> argv) : argv_(std::move(argv)) {}

  // Does what the file says; false where there is none.
  bool Run(const fs::path& path) {
    std::stringstream lines;
    {
      std::ifstream file(path);
      if (!file) return false;
      lines << file.rdbuf();
    }
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string name;
      if (!(words >> name) || name[0] == '#') continue;
      words.get();  // the one space
      Do(name, words);
    }
    return true;
  }

 private:
  void Do(const std::string& name, std::istringstream& words) {
    if (name == "stdout" || name == "stderr") {
      std::string text;
      std::getline(words, text);
      return WriteAll(Stream(name), Unescape(text));
    }
    if (name == "bytes") {
      const int fd = Stream(Next<std::string>(words));
      const auto count = Next<std::uint64_t>(words);
      return WriteBytes(fd, count, Next<std::uint64_t>(words));
    }
    if (name == "lines") {
      const int fd = Stream(Next<std::string>(words));
      const int count = Next<int>(words);
      for (int i = 1; i <= count; ++i) {
        WriteAll(fd, "line " + std::to_string(i) + "\n");
      }
      return;
    }
    if (name == "flood") {
      const auto count = Next<std::uint64_t>(words);
      const auto seed = Next<std::uint64_t>(words);
      std::thread other(WriteBytes, STDERR_FILENO, count, seed + 1);
      WriteBytes(STDOUT_FILENO, count, seed);
      return other.join();
    }
    if (name == "sleep") return Sleep(Next<double>(words));
    if (name == "wait-file") {
      const auto path = Next<std::string>(words);
      while (!fs::exists(path)) Sleep(0.002);
      return;
    }
    if (name == "touch") return Dump(Next<std::string>(words), "");
    if (name == "copy") {
      const auto from = Next<std::string>(words);
      fs::copy_file(from, Next<std::string>(words));
      return;
    }
    if (name == "close-pipes") {
      for (int fd : {STDOUT_FILENO, STDERR_FILENO}) close(fd);
      return;
    }
    if (name == "ignore-term" || name == "heed-term") {
      signal(SIGTERM, name == "ignore-term" ? SIG_IGN : SIG_DFL);
      return;
    }
    if (name == "pid") {
      pid_file_ = fs::absolute(Next<std::string>(words));
      return NotePid();
    }
    if (name == "fork-hold" || name == "fork-close") {
      return Leave(/*new_session=*/false, name, Next<double>(words));
    }
    if (name.rfind("setsid-", 0) == 0) {
      return Leave(/*new_session=*/true, name, Next<double>(words));
    }
    if (name == "dump-args" || name == "dump-env") {
      std::string text;
      if (name == "dump-args") {
        for (const std::string& argument : argv_) text += argument + '\0';
      } else {
        for (char** entry = environ; *entry != nullptr; ++entry) {
          text += std::string(*entry) + '\0';
        }
      }
      return Dump(Next<std::string>(words), text);
    }
    if (name == "secret") {
      const int fd = Stream(Next<std::string>(words));
      return WriteAll(fd, ReadFile(SecretPath(Next<std::string>(words))));
    }
    if (name == "docker-config") {
      const char* folder = std::getenv("DOCKER_CONFIG");
      if (folder == nullptr) Fail("DOCKER_CONFIG is not set");
      return WriteAll(Stream(Next<std::string>(words)),
                      ReadFile(std::string(folder) + "/config.json"));
    }
    if (name == "dump-state") return Dump(Next<std::string>(words), State());
    if (name == "exit") _exit(Next<int>(words));
    if (name == "signal") {
      const int number = Next<int>(words);
      const rlimit no_core = {0, 0};
      setrlimit(RLIMIT_CORE, &no_core);
      signal(number, SIG_DFL);
      kill(getpid(), number);
      Fail("survived the signal");
    }
    Fail("unknown directive " + name);
  }

  // The file that `--secret id=ID,src=PATH` names.
  std::string SecretPath(const std::string& id) {
    const std::string prefix = "id=" + id + ",src=";
    for (const std::string& argument : argv_) {
      if (argument.rfind(prefix, 0) == 0) {
        return argument.substr(prefix.size());
      }
    }
    Fail("no secret " + id);
  }

  // Leaves a process behind that lives for so long.
  void Leave(bool new_session, const std::string& name, double seconds) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) Fail("pipe2");
    const pid_t child = fork();
    if (child < 0) Fail("fork");
    if (child > 0) {
      close(ready[1]);
      char byte;
      while (read(ready[0], &byte, 1) > 0) {
      }
      close(ready[0]);
      if (new_session) waitpid(child, nullptr, 0);
      return;
    }
    // Forking twice, it becomes init's child (or a subreaper's) at once.
    if (new_session && fork() != 0) _exit(0);
    if (name == "setsid-exec") {
      close(ready[0]);
      close(ready[1]);
    }
    if (new_session && setsid() < 0) Fail("setsid");
    NotePid();
    if (name == "fork-close" || name == "setsid-close") {
      for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) close(fd);
    }
    const std::string time = std::to_string(seconds);
    if (name == "setsid-exec") {
      execl("/bin/sleep", "sleep", time.c_str(), nullptr);
      Fail("execl");
    }
    if (name == "setsid-bare") {
      char* nothing[] = {nullptr};
      execle("/bin/sleep", "sleep", time.c_str(), nullptr, nothing);
      Fail("execle");
    }
    close(ready[1]);
    if (name == "setsid-flood") {
      const auto end = std::chrono::steady_clock::now() + Seconds(seconds);
      while (std::chrono::steady_clock::now() < end) {
        WriteAll(STDOUT_FILENO, "still here\n");
        Sleep(0.001);
      }
    } else {
      Sleep(seconds);
    }
    _exit(0);
  }

  void NotePid() const {
    if (pid_file_.empty()) return;
    const int fd = open(pid_file_.c_str(),
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) Fail(pid_file_);
    WriteAll(fd, std::to_string(getpid()) + "\n");
    close(fd);
  }

  template <typename T>
  static T Next(std::istringstream& words) {
    T value;
    if (!(words >> value)) Fail("a directive lacks a value");
    return value;
  }

  static int Stream(const std::string& name) {
    return name == "stdout" ? STDOUT_FILENO : STDERR_FILENO;
  }

  const std::vector<std::string> argv_;
  std::string pid_file_;
};

int Answer(const std::string& text) {
  WriteAll(STDOUT_FILENO, text);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  const fs::path self = arguments[0];
  const std::string last = arguments.back();
  const auto has = [&](const std::string& argument) {
    return std::find(arguments.begin() + 1, arguments.end(), argument) !=
           arguments.end();
  };
  Script script(arguments);

  if (has("build") && last != "--help") {
    if (!script.Run(fs::path(last) / "fake.txt")) {
      WriteAll(STDERR_FILENO, kBuildLog);
      WriteAll(STDOUT_FILENO, "Loaded image: docker.io/library/fake:latest\n");
    }
    return 0;
  }
  for (const std::string& argument : arguments) {
    if (argument.find('/') != std::string::npos) continue;
    const std::string name = self.filename().string() + "_" + argument;
    if (script.Run(self.parent_path() / (name + ".txt"))) return 0;
  }
  if (self.filename() == "buildctl") {
    return Answer(last == "--version" ? kBuildctlVersion : kBuildctlWorkers);
  }
  if (last == "--version") return Answer(kVersion);
  if (last == "version") return Answer(kVersions);
  if (last == "--help") return Answer(kBuildHelp);
  std::cerr << "fake_nerdctl: cannot play this\n";
  return 125;
}
