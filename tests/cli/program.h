#ifndef CONTAINERBUILDER_TESTS_CLI_PROGRAM_H_
#define CONTAINERBUILDER_TESTS_CLI_PROGRAM_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace containerbuilder::test_support {

// How to run a program.
struct Invocation {
  std::string program;
  std::vector<std::string> arguments = {};
  std::string folder = "/";
  std::map<std::string, std::string> environment = {};  // beside the test's own
  bool ignore_sigint = false;  // as a shell starts a background job
};

// A running program, in a process group of its own, with its output read into
// memory. It is killed and reaped when this goes. What does not happen within
// a minute throws.
class Program {
 public:
  explicit Program(const Invocation& invocation);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Reads both streams until this is somewhere in one of them.
  void WaitForOut(const std::string& text);
  // Standard output is left unread, so that the program can get stuck in it.
  void WaitForErr(const std::string& text);
  void Signal(int signal) const;
  // Whoever writes there now gets EPIPE.
  void CloseOut();

  // Reads to the end and answers the exit code, minus the signal where one
  // ended the program.
  int Wait();
  // Waits for its end without reading standard output.
  int WaitUnread();

  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

 private:
  // Reads until done() or the end of all that is read.
  void ReadUntil(bool read_out, const std::function<bool()>& done);
  int Reap();

  pid_t pid_ = -1;
  int pid_fd_ = -1;
  int out_fd_ = -1;
  int err_fd_ = -1;
  std::string out_;
  std::string err_;
};

// Runs it to its end.
struct ProgramResult {
  int exit_code;
  std::string out;
  std::string err;
};
ProgramResult RunProgram(const Invocation& invocation);

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_CLI_PROGRAM_H_
