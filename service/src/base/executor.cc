#include "base/executor.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <utility>

namespace containerbuilder::service {

struct Executor::Pool {
  explicit Pool(int count) : threads(count) {}
  boost::asio::thread_pool threads;
};

namespace {

struct Alarm {
  explicit Alarm(boost::asio::thread_pool& threads) : timer(threads) {}
  boost::asio::steady_timer timer;
  std::atomic<bool> cancelled = false;
};

}  // namespace

Executor::Executor(int threads) : pool_(std::make_unique<Pool>(threads)) {}

Executor::~Executor() {
  pool_->threads.stop();
  pool_->threads.join();
}

void Executor::Post(std::function<void()> work) {
  boost::asio::post(pool_->threads, std::move(work));
}

Executor::Timer Executor::After(absl::Duration delay,
                                std::function<void()> work) {
  auto alarm = std::make_shared<Alarm>(pool_->threads);
  alarm->timer.expires_after(absl::ToChronoNanoseconds(delay));
  alarm->timer.async_wait(
      [alarm, work = std::move(work)](const boost::system::error_code& error) {
        if (!error && !alarm->cancelled) work();
      });
  // The timer is no object for several threads: after async_wait nobody
  // touches it but the one cancel, on the pool.
  return Timer(alarm.get(), [alarm, this](void*) {
    alarm->cancelled = true;
    boost::asio::post(pool_->threads, [alarm] { alarm->timer.cancel(); });
  });
}

}  // namespace containerbuilder::service
