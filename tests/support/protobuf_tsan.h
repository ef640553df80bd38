// Included before everything else in builds with ThreadSanitizer: there,
// protobuf's map fields are two members longer than in the packaged library,
// which was built without it.
#ifndef CONTAINERBUILDER_TESTS_SUPPORT_PROTOBUF_TSAN_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_PROTOBUF_TSAN_H_

// All that the header below includes, so that only it is changed.
#include <google/protobuf/generated_message_reflection.h>
#include <google/protobuf/generated_message_util.h>
#include <google/protobuf/map.h>
#include <google/protobuf/map_entry.h>
#include <google/protobuf/message.h>
#include <google/protobuf/repeated_field.h>
#include <google/protobuf/unknown_field_set.h>

#include <atomic>
#include <functional>

#pragma push_macro("__SANITIZE_THREAD__")
#undef __SANITIZE_THREAD__
#include <google/protobuf/map_field.h>
#pragma pop_macro("__SANITIZE_THREAD__")

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_PROTOBUF_TSAN_H_
