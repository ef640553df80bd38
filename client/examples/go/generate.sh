#!/bin/sh
# Makes package containerbuilderv1 from the proto: `go generate`. Needs protoc; its plugins are tools of go.mod.
set -eu
proto=containerbuilder/v1/container_builder.proto
module=containerbuilder/client/examples/go
# The proto names no Go package, so that each program may have it where it wants.
options=module=$module,M$proto=$module/gen/containerbuilderv1
mkdir -p gen
protoc -I ../../../proto \
  --plugin="protoc-gen-go=$(go tool -n protoc-gen-go)" --go_out=. --go_opt="$options" \
  --plugin="protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc)" --go-grpc_out=. --go-grpc_opt="$options" \
  "$proto"
