#ifndef CONTAINERBUILDER_RPC_MESSAGE_BYTES_H_
#define CONTAINERBUILDER_RPC_MESSAGE_BYTES_H_

#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/support/byte_buffer.h"

namespace containerbuilder::service {

// What gRPC does itself for calls that are not raw.

// Takes what gRPC would keep until the call ends, which may take hours.
inline grpc::ByteBuffer TakeBytes(const grpc::ByteBuffer* bytes) {
  grpc::ByteBuffer taken;
  taken.Swap(const_cast<grpc::ByteBuffer*>(bytes));
  return taken;
}

// False where the bytes are no such message. Leaves none of them.
template <typename Message>
bool Deserialize(grpc::ByteBuffer* bytes, Message* message) {
  return grpc::SerializationTraits<Message>::Deserialize(bytes, message).ok();
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
