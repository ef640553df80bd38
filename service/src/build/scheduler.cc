#include "build/scheduler.h"

#include <algorithm>

namespace containerbuilder::service {

int Scheduler::free() const {
  // Either may be over what was set since.
  const int slots = std::max(0, max_running_ - running());
  return std::max(0, slots + max_queued_ - queued());
}

void Scheduler::Add(const std::string& name, int priority,
                    std::int64_t arrival) {
  const Turn turn = {-std::int64_t{priority}, arrival};
  queue_.emplace(turn, name);
  turns_.emplace(name, turn);
}

std::optional<std::string> Scheduler::Next() {
  if (queue_.empty() || running() >= max_running_) return std::nullopt;
  const auto first = queue_.begin();
  std::string name = std::move(first->second);
  queue_.erase(first);
  turns_.erase(name);
  running_.insert(name);
  return name;
}

void Scheduler::Remove(const std::string& name) {
  running_.erase(name);
  const auto turn = turns_.find(name);
  if (turn == turns_.end()) return;
  queue_.erase(turn->second);
  turns_.erase(turn);
}

bool Scheduler::Contains(const std::string& name) const {
  return running_.contains(name) || turns_.contains(name);
}

std::vector<std::string> Scheduler::Queue() const {
  std::vector<std::string> names;
  names.reserve(queue_.size());
  for (const auto& [turn, name] : queue_) names.push_back(name);
  return names;
}

}  // namespace containerbuilder::service
