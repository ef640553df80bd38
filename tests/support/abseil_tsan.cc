// Tells ThreadSanitizer what Abseil's locks do. The packaged libraries are not
// instrumented, so that whatever an absl::Mutex guards or an absl::Notification
// announces would look like a data race.
//
// A program's own definitions come before those of a shared library, also for
// calls within the library. These annotate and call the library's.

#if defined(__SANITIZE_THREAD__)

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <atomic>
#include <type_traits>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);

// The library's function of that (mangled) name.
#define REAL(name, ...)                                    \
  [] {                                                     \
    static const auto real =                               \
        reinterpret_cast<std::add_pointer_t<__VA_ARGS__>>( \
            dlsym(RTLD_NEXT, name));                       \
    return real;                                           \
  }()

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  REAL("_ZN4absl7debian35Mutex4LockEv", void(Mutex*))(this);
  __tsan_acquire(this);
}

bool Mutex::TryLock() {
  const bool locked =
      REAL("_ZN4absl7debian35Mutex7TryLockEv", bool(Mutex*))(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::Unlock() {
  __tsan_release(this);
  REAL("_ZN4absl7debian35Mutex6UnlockEv", void(Mutex*))(this);
}

void Mutex::ReaderLock() {
  REAL("_ZN4absl7debian35Mutex10ReaderLockEv", void(Mutex*))(this);
  __tsan_acquire(this);
}

bool Mutex::ReaderTryLock() {
  const bool locked =
      REAL("_ZN4absl7debian35Mutex13ReaderTryLockEv", bool(Mutex*))(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::ReaderUnlock() {
  __tsan_release(this);
  REAL("_ZN4absl7debian35Mutex12ReaderUnlockEv", void(Mutex*))(this);
}

void Mutex::LockWhen(const Condition& condition) {
  REAL("_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE",
       void(Mutex*, const Condition&))
  (this, condition);
  __tsan_acquire(this);
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  const bool holds = REAL(
      "_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionE"
      "NS0_8DurationE",
      bool(Mutex*, const Condition&, Duration))(this, condition, timeout);
  __tsan_acquire(this);
  return holds;
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  const bool holds = REAL(
      "_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionE"
      "NS0_4TimeE",
      bool(Mutex*, const Condition&, Time))(this, condition, deadline);
  __tsan_acquire(this);
  return holds;
}

void Mutex::Await(const Condition& condition) {
  __tsan_release(this);
  REAL("_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE",
       void(Mutex*, const Condition&))
  (this, condition);
  __tsan_acquire(this);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  __tsan_release(this);
  const bool holds = REAL(
      "_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionE"
      "NS0_8DurationE",
      bool(Mutex*, const Condition&, Duration))(this, condition, timeout);
  __tsan_acquire(this);
  return holds;
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  __tsan_release(this);
  const bool holds = REAL(
      "_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionE"
      "NS0_4TimeE",
      bool(Mutex*, const Condition&, Time))(this, condition, deadline);
  __tsan_acquire(this);
  return holds;
}

// Whoever unlocks evaluates the conditions of those who wait: under the lock,
// but after the release above.
bool Condition::Eval() const {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  const bool holds =
      REAL("_ZNK4absl7debian39Condition4EvalEv", bool(const Condition*))(this);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  return holds;
}

void CondVar::Wait(Mutex* mutex) {
  __tsan_release(mutex);
  REAL("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE", void(CondVar*, Mutex*))
  (this, mutex);
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  __tsan_release(mutex);
  const bool timed_out = REAL(
      "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexE"
      "NS0_8DurationE",
      bool(CondVar*, Mutex*, Duration))(this, mutex, timeout);
  __tsan_acquire(mutex);
  return timed_out;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  __tsan_release(mutex);
  const bool timed_out =
      REAL("_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE",
           bool(CondVar*, Mutex*, Time))(this, mutex, deadline);
  __tsan_acquire(mutex);
  return timed_out;
}

// HasBeenNotified() is inline and reads the flag itself, so that the flag's
// address is what the two sides have in common.
void Notification::Notify() {
  __tsan_release(&notified_yet_);
  REAL("_ZN4absl7debian312Notification6NotifyEv", void(Notification*))(this);
}

void Notification::WaitForNotification() const {
  REAL("_ZNK4absl7debian312Notification19WaitForNotificationEv",
       void(const Notification*))
  (this);
  notified_yet_.load(std::memory_order_acquire);
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  REAL(
      "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutE"
      "NS0_8DurationE",
      bool(const Notification*, Duration))
  (this, timeout);
  return notified_yet_.load(std::memory_order_acquire);
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  REAL(
      "_ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineE"
      "NS0_4TimeE",
      bool(const Notification*, Time))
  (this, deadline);
  return notified_yet_.load(std::memory_order_acquire);
}

ABSL_NAMESPACE_END
}  // namespace absl

#endif  // defined(__SANITIZE_THREAD__)
