#!/usr/bin/env bash
# Builds an image with ContainerBuilder by grpcurl alone: asks for its health, then builds and prints
# nerdctl's output as it comes. grpcurl learns the contract from the service (reflection).
set -euo pipefail

(($# == 3)) || { echo "usage: $0 ADDRESS CONTEXT TAG   (ADDRESS: unix:///PATH or HOST:PORT)" >&2; exit 2; }
case $1 in
  unix://*) server=(-unix "${1#unix://}") ;;
  *) server=("$1") ;;
esac
service=containerbuilder.v1.ContainerBuilder

grpcurl -plaintext "${server[@]}" $service/Health

# Put into JSON as they are: neither may hold a quote or a backslash.
request='{"spec": {"options": {
  "context_path": "'$2'",
  "options": [{"name": "tag", "value": {"values": {"values": ["'$3'"]}}}]
}}}'

# One JSON message per event. `stream` comes before `data`, which is base64; the state at the end is the build's.
stream= state=
while read -r line; do
  value=${line#*: \"} value=${value%,} value=${value%\"}
  case $line in
    '"stream":'*) stream=$value ;;
    '"data":'*)
      if [[ $stream == STREAM_STDOUT ]]; then base64 -d <<<"$value"; else base64 -d <<<"$value" >&2; fi ;;
    '"state":'*) state=$value ;;
  esac
done < <(grpcurl -plaintext -d "$request" "${server[@]}" $service/Build)

echo "$state" >&2
[[ $state == STATE_SUCCEEDED ]]
