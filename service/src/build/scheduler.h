#ifndef CONTAINERBUILDER_BUILD_SCHEDULER_H_
#define CONTAINERBUILDER_BUILD_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace containerbuilder::service {

// Which build is next: a queue by priority, then by arrival, in front of a
// number of slots. It knows builds by name and starts nothing itself. Not
// thread-safe.
class Scheduler {
 public:
  Scheduler(int max_running, int max_queued)
      : max_running_(max_running), max_queued_(max_queued) {}

  // Takes none of the slots back that are in use.
  void SetBounds(int max_running, int max_queued) {
    max_running_ = max_running;
    max_queued_ = max_queued;
  }

  // How many more builds could start or wait.
  int free() const;
  bool full() const { return free() == 0; }

  // Takes the build in, also where it is full: builds that were admitted once
  // come back after a restart. A greater priority goes first.
  void Add(const std::string& name, int priority, std::int64_t arrival);

  // The build whose turn it is, which has a slot from now on; nothing where
  // all slots are taken or nobody waits.
  std::optional<std::string> Next();

  // Takes the build out, whether it waits or has a slot.
  void Remove(const std::string& name);

  // It waits or has a slot.
  bool Contains(const std::string& name) const;

  // Who waits, next first.
  std::vector<std::string> Queue() const;

  int running() const { return static_cast<int>(running_.size()); }
  int queued() const { return static_cast<int>(queue_.size()); }
  int max_running() const { return max_running_; }
  int max_queued() const { return max_queued_; }

 private:
  // Least first: minus priority, then arrival.
  using Turn = std::pair<std::int64_t, std::int64_t>;

  int max_running_;
  int max_queued_;
  std::map<Turn, std::string> queue_;
  absl::flat_hash_map<std::string, Turn> turns_;  // of who is in queue_
  absl::flat_hash_set<std::string> running_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_SCHEDULER_H_
