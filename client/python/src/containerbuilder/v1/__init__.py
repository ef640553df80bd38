"""What protoc makes of containerbuilder/v1/container_builder.proto."""
