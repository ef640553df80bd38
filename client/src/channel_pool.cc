#include "channel_pool.h"

#include <algorithm>
#include <utility>

namespace containerbuilder::client {
namespace {

// Leaves room for calls that answer once.
constexpr int kStreamsPerChannel = 64;

}  // namespace

ChannelPool::ChannelPool(MakeChannel make_channel)
    : make_channel_(std::move(make_channel)), main_(Make()), used_({main_}) {}

std::shared_ptr<const ChannelPool::Link> ChannelPool::ForStream() {
  const std::lock_guard lock(mutex_);
  auto found = std::find_if(used_.begin(), used_.end(), [](const auto& used) {
    return used->streams < kStreamsPerChannel;
  });
  if (found == used_.end()) found = used_.insert(found, Make());
  const std::shared_ptr<Used> used = *found;
  ++used->streams;
  return {&used->link, [pool = shared_from_this(), used](const Link* /*link*/) {
            pool->Release(used);
          }};
}

std::shared_ptr<ChannelPool::Used> ChannelPool::Make() const {
  auto used = std::make_shared<Used>();
  used->link.channel = make_channel_();
  used->link.stub = v1::ContainerBuilder::NewStub(used->link.channel);
  return used;
}

void ChannelPool::Release(const std::shared_ptr<Used>& used) {
  const std::lock_guard lock(mutex_);
  if (--used->streams == 0 && used != main_) std::erase(used_, used);
}

}  // namespace containerbuilder::client
