#ifndef CONTAINERBUILDER_RPC_MESSAGE_BYTES_H_
#define CONTAINERBUILDER_RPC_MESSAGE_BYTES_H_

#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/support/byte_buffer.h"

namespace containerbuilder::service {

// What gRPC does itself for calls that are not raw.

// False where the bytes are no such message. It takes them, and leaves none:
// gRPC, whose they are, would keep them until the call ends, which may take
// hours.
template <typename Message>
bool Deserialize(const grpc::ByteBuffer* bytes, Message* message) {
  return grpc::SerializationTraits<Message>::Deserialize(
             const_cast<grpc::ByteBuffer*>(bytes), message)
      .ok();
}

template <typename Message>
void Serialize(const Message& message, grpc::ByteBuffer* bytes) {
  // Or gRPC asserts.
  bytes->Clear();
  bool is_owned = false;
  // It fails over 2 GiB alone.
  (void)grpc::SerializationTraits<Message>::Serialize(message, bytes,
                                                      &is_owned);
}

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_MESSAGE_BYTES_H_
