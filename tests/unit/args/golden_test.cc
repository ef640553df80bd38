#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "build/nerdctl_args.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

// The recorded answers of BentoML's construct_build_args; `$W` in them is its
// working folder.
namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::TempDir;
using ::google::protobuf::ListValue;
using ::google::protobuf::Struct;
using ::google::protobuf::Value;

ListValue ReadGolden() {
  std::ifstream file(GOLDEN_FOLDER "/construct_args.json");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  ListValue cases;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(text, &cases).ok());
  return cases;
}

std::vector<std::string> Strings(const ListValue& list) {
  std::vector<std::string> strings;
  for (const Value& value : list.values()) {
    strings.push_back(value.string_value());
  }
  return strings;
}

v1::OptionValue ToOptionValue(const Struct& recorded) {
  v1::OptionValue option;
  const auto& [kind, value] = *recorded.fields().begin();
  if (kind == "text") {
    option.set_text(value.string_value());
  } else if (kind == "flag") {
    option.set_flag(value.bool_value());
  } else if (kind == "values") {
    const std::vector<std::string> values = Strings(value.list_value());
    option.mutable_values()->mutable_values()->Assign(values.begin(),
                                                      values.end());
  } else if (kind == "pairs") {
    for (const Value& pair : value.list_value().values()) {
      v1::Pair* added = option.mutable_pairs()->add_pairs();
      added->set_key(pair.list_value().values(0).string_value());
      added->set_value(pair.list_value().values(1).string_value());
    }
  } else {
    EXPECT_EQ(kind, "none");
  }
  return option;
}

void Set(v1::BuildOptions& options, const std::string& name,
         const Struct& recorded) {
  const v1::OptionValue value = ToOptionValue(recorded);
  if (name == "context_path") {
    options.set_context_path(value.text());
  } else if (name == "build_arg") {
    *options.mutable_build_arg() = value;
  } else if (name == "cache_from") {
    *options.mutable_cache_from() = value;
  } else if (name == "cache_to") {
    *options.mutable_cache_to() = value;
  } else if (name == "label") {
    *options.mutable_label() = value;
  } else if (name == "output") {
    *options.mutable_output() = value;
  } else if (name == "secret") {
    *options.mutable_secret() = value;
  } else {
    v1::Option* option = options.add_options();
    option->set_name(name);
    *option->mutable_value() = value;
  }
}

TEST(ConstructArgsGoldenTest, AnswersAsTheReference) {
  const TempDir folder;
  folder.MakeDir("out");
  folder.WriteFile("token.txt", "secret");
  folder.WriteFile("Dockerfile", "FROM scratch");
  folder.WriteFile("ctx/Dockerfile", "FROM scratch");
  const PathRules rules = {folder.path(), [&](const std::string& path) {
                             return PathExists(path, folder.path());
                           }};

  const ListValue golden = ReadGolden();
  int compared = 0;
  for (const Value& item : golden.values()) {
    const auto& recorded = item.struct_value().fields();
    SCOPED_TRACE(recorded.at("name").string_value());
    v1::BuildOptions options;
    bool expressible = true;
    for (const Value& argument : recorded.at("kwargs").list_value().values()) {
      const std::string name = argument.list_value().values(0).string_value();
      const Struct& value = argument.list_value().values(1).struct_value();
      // A Python value that the contract has no kind for.
      if (value.fields().contains("unsupported")) {
        expressible = false;
      } else {
        Set(options, name, value);
      }
    }
    if (!expressible) continue;
    ++compared;

    const auto args = ConstructArgs(options, rules, "spec.options");
    if (recorded.contains("error")) {
      EXPECT_THAT(args, HasReason("OPTION_INVALID"));
      continue;
    }
    std::vector<std::string> expected =
        Strings(recorded.at("argv").list_value());
    for (std::string& argument : expected) {
      argument = absl::StrReplaceAll(argument, {{"$W", folder.path()}});
    }
    ASSERT_THAT(args, IsOk());
    EXPECT_EQ(*args, expected);
  }
  EXPECT_GE(compared, 27);
}

}  // namespace
}  // namespace containerbuilder::service
