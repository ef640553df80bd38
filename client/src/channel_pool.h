#ifndef CONTAINERBUILDER_CLIENT_CHANNEL_POOL_H_
#define CONTAINERBUILDER_CLIENT_CHANNEL_POOL_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "containerbuilder/v1/container_builder.grpc.pb.h"

namespace containerbuilder::client {

// The connections of one client. A service takes so many calls at a time on
// each (container-builderd: 100), and gRPC has those that are over wait until
// others end, which for builds may be long. So there are more connections
// where there are many streams. Thread-safe.
class ChannelPool : public std::enable_shared_from_this<ChannelPool> {
 public:
  struct Link {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<v1::ContainerBuilder::Stub> stub;
  };
  using MakeChannel = std::function<std::shared_ptr<grpc::Channel>()>;

  // `make_channel` makes channels that do not share a connection.
  explicit ChannelPool(MakeChannel make_channel);

  // For calls that answer once: the first connection, which always has room.
  const Link& main() const { return main_->link; }
  // For one stream, for as long as the answer is held.
  std::shared_ptr<const Link> ForStream();

 private:
  struct Used {
    Link link;
    int streams = 0;
  };

  std::shared_ptr<Used> Make() const;
  void Release(const std::shared_ptr<Used>& used);

  const MakeChannel make_channel_;
  const std::shared_ptr<Used> main_;
  std::mutex mutex_;
  // `main_` and others, which go with their last stream.
  std::vector<std::shared_ptr<Used>> used_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CHANNEL_POOL_H_
