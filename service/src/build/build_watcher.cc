#include "containerbuilder/service/build_watcher.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "build/engine.h"
#include "journal/journal.h"

namespace containerbuilder::service {
namespace {

// What a journal wakes. It is shared with the journal, which keeps it until
// the next event, whatever becomes of the watcher.
class Signal {
 public:
  // True where nobody is about to call Wake.
  bool Arm() {
    absl::MutexLock lock(&mutex_);
    return !std::exchange(armed_, true);
  }

  void Wake() {
    absl::MutexLock lock(&mutex_);
    armed_ = false;
  }

  void Cancel() {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }

  bool cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }

  // Blocks for Wake or Cancel; false where neither came until `deadline`.
  bool Wait(absl::Time deadline) const {
    const auto told = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !armed_ || cancelled_;
    };
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithDeadline(absl::Condition(&told), deadline);
  }

 private:
  mutable absl::Mutex mutex_;
  bool armed_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

class BuildWatcher::State {
 public:
  explicit State(BuildWatch watch)
      : attachment_(std::move(watch.attachment)), watch_(std::move(watch)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { Cancel(); }

  const std::string& name() const { return watch_.name; }

  absl::StatusOr<std::optional<v1::BuildEvent>> Next(absl::Time deadline) {
    for (;;) {
      if (signal_->cancelled()) {
        return absl::CancelledError(
            absl::StrCat(name(), ": its watcher was cancelled"));
      }
      CONTAINERBUILDER_ASSIGN_OR_RETURN(
          const std::optional<Journal::Entry> entry, watch_.Read());
      if (entry) {
        std::optional<v1::BuildEvent> event(std::in_place);
        if (event->ParseFromString(*entry->event)) return event;
        return errors::JournalDamaged(absl::StrCat(
            name(), ": event ", entry->sequence, " does not parse"));
      }
      if (Journal::AtEnd(watch_.cursor)) return std::nullopt;
      if (!Wait(deadline)) {
        return absl::DeadlineExceededError(
            absl::StrCat(name(), ": no event until the deadline"));
      }
    }
  }

  void Cancel() {
    signal_->Cancel();
    std::shared_ptr<void> attachment;
    absl::MutexLock lock(&mutex_);
    attachment.swap(attachment_);
  }

 private:
  // Until there may be something to read.
  bool Wait(absl::Time deadline) {
    // An earlier call may have left at its deadline, and the journal have not
    // called since.
    if (signal_->Arm() && !watch_.journal->WakeOnce(
                              watch_.cursor, signal_,
                              [signal = signal_.get()] { signal->Wake(); })) {
      signal_->Wake();
    }
    return signal_->Wait(deadline);
  }

  const std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  absl::Mutex mutex_;
  std::shared_ptr<void> attachment_ ABSL_GUARDED_BY(mutex_);
  BuildWatch watch_;  // Next's
};

BuildWatcher::BuildWatcher(BuildWatch watch)
    : state_(std::make_unique<State>(std::move(watch))) {}
BuildWatcher::BuildWatcher(BuildWatcher&&) noexcept = default;
BuildWatcher& BuildWatcher::operator=(BuildWatcher&&) noexcept = default;
BuildWatcher::~BuildWatcher() = default;

const std::string& BuildWatcher::name() const { return state_->name(); }

absl::StatusOr<std::optional<v1::BuildEvent>> BuildWatcher::Next(
    absl::Time deadline) {
  return state_->Next(deadline);
}

void BuildWatcher::Cancel() { state_->Cancel(); }

}  // namespace containerbuilder::service
