// What the service reads in an argument list beside what nerdctl's flags and
// buildctl's CSV make of it, as nerdctl_oracle tells (tests/tools).

#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "build/csv.h"
#include "build/policy.h"
#include "containerbuilder/nerdctl_build_flags.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::TempDir;

constexpr int kCases = 100'000;
constexpr absl::string_view kStaging = "/state/builds/x/staging/";

// JSON, with strings in base64.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::Base64Escape(text), "\"");
}

std::string List(const std::vector<std::string>& members) {
  return absl::StrCat("[", absl::StrJoin(members, ","), "]");
}

std::string QuotedList(const std::vector<std::string>& texts) {
  std::vector<std::string> members;
  for (const std::string& text : texts) members.push_back(Quoted(text));
  return List(members);
}

// One case: what is asked, and what the oracle answers if it reads as we do.
struct Case {
  std::string question;
  std::string answer;
};

std::string RecordAnswer(const std::string& record) {
  const auto fields = ReadCsv(record);
  if (!fields) return R"({"fields":null,"attributes":null})";
  std::vector<std::string> values;
  for (const CsvField& field : *fields) values.push_back(field.value);
  std::string attributes = "null";
  if (const auto read = ReadAttributes(record)) {
    std::vector<std::string> pairs;
    for (const Attribute& attribute : *read) {
      pairs.push_back(QuotedList({attribute.key, attribute.value}));
    }
    attributes = List(pairs);
  }
  return absl::StrCat(R"({"fields":)", QuotedList(values), R"(,"attributes":)",
                      attributes, "}");
}

// How the service reads its own arguments: a switch, or a name and its value.
struct Reading {
  std::map<std::string, std::vector<std::string>> flags;
  std::vector<std::string> rest;
};

Reading ReadArguments(const std::vector<std::string>& args) {
  Reading reading;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (i + 1 == args.size()) {
      reading.rest.push_back(args[i]);
      break;
    }
    const std::string name = args[i].substr(2);
    const NerdctlBuildFlag* flag = FindNerdctlBuildFlag(name);
    std::vector<std::string>& values = reading.flags[name];
    if (flag->kind == NerdctlBuildFlag::Kind::kSwitch) {
      values = {"true"};
      continue;
    }
    const std::string& value = args[++i];
    if (flag->kind == NerdctlBuildFlag::Kind::kText) {
      values = {value};
    } else if (name != "platform") {
      values.push_back(value);
    } else if (const auto fields = ReadCsv(value)) {
      for (const CsvField& field : *fields) values.push_back(field.value);
    }
  }
  return reading;
}

Case MakeCase(const std::vector<std::string>& args,
              const std::vector<std::string>& records) {
  const Reading reading = ReadArguments(args);
  std::vector<std::string> flags;
  for (const auto& [name, values] : reading.flags) {
    flags.push_back(absl::StrCat("\"", name, "\":", QuotedList(values)));
  }
  std::vector<std::string> answers;
  for (const std::string& record : records) {
    answers.push_back(RecordAnswer(record));
  }
  return {absl::StrCat(R"({"args":)", QuotedList(args), R"(,"records":)",
                       QuotedList(records), "}\n"),
          absl::StrCat(R"({"error":"","flags":{)", absl::StrJoin(flags, ","),
                       R"(},"args":)", QuotedList(reading.rest),
                       R"(,"records":)", List(answers), "}")};
}

class OracleTest : public testing::Test {
 protected:
  OracleTest() {
    folder_.WriteFile("root/ctx/Dockerfile", "FROM scratch");
    folder_.WriteFile("root/secret", "x");
    folder_.MakeDir("root/a,b");
    folder_.MakeDir("out");
    PolicyOptions options;
    options.read_roots = {folder_.Path("root")};
    options.write_roots = {folder_.Path("out")};
    options.allowed_options.clear();
    for (const NerdctlBuildFlag& flag : kNerdctlBuildFlags) {
      options.allowed_options.emplace_back(flag.name);
    }
    options.allowed_registries = {"a.test"};
    options.allowed_entitlements = {"network.host", "security.insecure"};
    options.allowed_networks = {"default", "none", "host"};
    options.allowed_ssh = {"default"};
    Host host;
    host.working_folder = folder_.Path("root");
    auto policy = Policy::Create(options, host, {folder_.Path("state")});
    EXPECT_THAT(policy, IsOk());
    policy_ = *policy;
    nerdctl_.path = "/nerdctl";
    for (const NerdctlBuildFlag& flag : kNerdctlBuildFlags) {
      if (flag.since != "1.7") continue;
      nerdctl_.flags[std::string(flag.name)] =
          flag.kind != NerdctlBuildFlag::Kind::kSwitch;
    }
  }

  std::size_t Pick(std::size_t count) { return random_() % count; }
  template <typename Container>
  auto OneOf(const Container& from) {
    return from[Pick(from.size())];
  }

  // What is likely to be read in two ways.
  std::string AnyText() {
    static const std::vector<std::string> pieces = {"-",        "--",
                                                    "-o",       "=",
                                                    ",",        "\"",
                                                    "\"\"",     "\n",
                                                    "\r\n",     "\r",
                                                    " ",        "\t",
                                                    "a",        "b",
                                                    "type=",    "TYPE=",
                                                    "dest=",    "src=",
                                                    "id=",      "local",
                                                    "docker",   "name",
                                                    "\\",       "'",
                                                    "\xc3\xa4", "\xe2\x84\xaa",
                                                    "\xc4\xb0", "--tag",
                                                    "--help",   "true",
                                                    "false",    "./",
                                                    "/",        "token="};
    std::string text;
    for (std::size_t i = Pick(8); i > 0; --i) text += OneOf(pieces);
    return text;
  }

  // What an untrusted caller may get through, or nearly.
  std::string NearlyGood(absl::string_view option) {
    static const std::map<std::string, std::vector<std::string>, std::less<>>
        texts = {
            {"output",
             {"type=local,dest=D/x", "type=tar,dest=D/y", "D/z", "type=image",
              "type=docker,\"dest=D/a,b\"", "type=oci,dest=D/x,tar=false",
              "Type=docker,dest=D/x", "type=docker", "type=local,Dest=D/\"q"}},
            {"secret",
             {"id=a,src=R/secret", "src=R/secret,ID=b", "id=a,source=secret",
              "\"id=a\",\"src=R/secret\"", "id=a"}},
            {"cache-from",
             {"type=local,src=R/ctx", "a.test/x", "type=local,\"src=R/a,b\"",
              "type=registry,ref=a.test/x"}},
            {"cache-to",
             {"type=local,dest=D/c", "type=inline", "a.test/x:1",
              "mode=max,type=local,dest=D/c"}},
            {"iidfile", {"D/iid", "D/-x"}},
            {"file", {"Dockerfile", "R/ctx/Dockerfile", "./Dockerfile"}},
            {"tag", {"a", "a.test/b:1", "a/b"}},
            {"platform", {"linux/amd64", "linux/amd64,linux/arm64/v8"}},
            {"network", {"none", "host"}},
            {"progress", {"plain"}},
            {"ssh", {"default"}},
            {"allow", {"network.host"}},
            {"label", {"a=b", "a", "a=--output=x", "a=\n,\""}},
            {"build-arg", {"A=1", "A=--x", "A=\"\n,"}}};
    const auto found = texts.find(option);
    std::string text = found == texts.end() ? "a" : OneOf(found->second);
    const auto put = [&text](absl::string_view mark, const std::string& path) {
      const std::size_t at = text.find(absl::StrCat(mark, "/"));
      if (at != std::string::npos) text.replace(at, 1, path);
    };
    put("D", folder_.Path("out"));
    put("R", folder_.Path("root"));
    if (Pick(4) == 0) text.insert(Pick(text.size() + 1), AnyText());
    return text;
  }

  void Fill(v1::OptionValue& value, absl::string_view option, bool nearly) {
    const auto text = [&] { return nearly ? NearlyGood(option) : AnyText(); };
    switch (Pick(nearly ? 2 : 4)) {
      case 0:
        value.set_text(text());
        break;
      case 1:
        for (std::size_t i = 1 + Pick(2); i > 0; --i) {
          value.mutable_values()->add_values(text());
        }
        break;
      case 2:
        for (std::size_t i = 1 + Pick(3); i > 0; --i) {
          v1::Pair& pair = *value.mutable_pairs()->add_pairs();
          pair.set_key(AnyText());
          pair.set_value(AnyText());
        }
        break;
      default:
        value.set_flag(Pick(2) == 0);
    }
  }

  v1::BuildSpec AnySpec(bool nearly) {
    v1::BuildSpec spec;
    v1::BuildOptions& options = *spec.mutable_options();
    options.set_context_path(Pick(20) == 0 ? AnyText()
                                           : folder_.Path("root/ctx"));
    for (std::size_t i = 1 + Pick(3); i > 0; --i) {
      const NerdctlBuildFlag& flag = OneOf(kNerdctlBuildFlags);
      const std::string name(flag.name);
      v1::OptionValue* value = name == "build-arg" ? options.mutable_build_arg()
                               : name == "cache-from"
                                   ? options.mutable_cache_from()
                               : name == "cache-to" ? options.mutable_cache_to()
                               : name == "label"    ? options.mutable_label()
                               : name == "output"   ? options.mutable_output()
                               : name == "secret"   ? options.mutable_secret()
                                                    : nullptr;
      if (value == nullptr) {
        v1::Option& option = *options.add_options();
        option.set_name(name);
        value = option.mutable_value();
        if (flag.kind == NerdctlBuildFlag::Kind::kSwitch) {
          value->set_flag(true);
          continue;
        }
      }
      Fill(*value, name, nearly);
    }
    return spec;
  }

  std::optional<std::vector<std::string>> Admitted(const v1::BuildSpec& spec,
                                                   const Caller& caller) {
    auto admitted =
        policy_->Admit(spec, {}, caller, nerdctl_,
                       {std::string(kStaging.substr(0, kStaging.size() - 1))});
    if (!admitted.ok()) return std::nullopt;
    return admitted->args();
  }

  // Compares all cases with the oracle's answers.
  void Compare(const std::vector<Case>& cases) {
    {
      std::ofstream questions(folder_.Path("questions"));
      for (const Case& item : cases) questions << item.question;
    }
    const std::string command =
        absl::StrCat("nerdctl_oracle <", folder_.Path("questions"), " >",
                     folder_.Path("answers"));
    ASSERT_EQ(std::system(command.c_str()), 0)
        << "nerdctl_oracle is not on PATH: service/toolchain/install --test "
           "builds it";
    std::ifstream answers(folder_.Path("answers"));
    std::string answer;
    for (const Case& item : cases) {
      ASSERT_TRUE(std::getline(answers, answer));
      ASSERT_EQ(answer, item.answer) << "asked: " << item.question;
    }
  }

  const TempDir folder_;
  std::shared_ptr<const Policy> policy_;
  NerdctlInfo nerdctl_;
  // The same cases every time.
  std::mt19937_64 random_{1};
};

TEST_F(OracleTest, ReadsRecordsAsBuildctlDoes) {
  std::vector<Case> cases;
  int read = 0;
  for (int i = 0; i < kCases; ++i) {
    const std::string record = AnyText();
    std::vector<std::string> records = {record};
    if (const auto attributes = ReadAttributes(record)) {
      ++read;
      // What is written anew means the same.
      records.push_back(WriteAttributes(*attributes));
      EXPECT_EQ(WriteAttributes(*ReadAttributes(records[1])), records[1]);
    }
    cases.push_back(MakeCase({"."}, records));
  }
  EXPECT_GT(read, kCases / 100);
  Compare(cases);
}

// Texts that are no valid platforms for pflag are left out: it refuses them,
// and so does the service to who is not trusted.
TEST_F(OracleTest, ReadsArgumentsAsNerdctlDoes) {
  std::vector<Case> cases;
  for (int i = 0; cases.size() < kCases; ++i) {
    ASSERT_LT(i, 20 * kCases);
    v1::BuildSpec spec = AnySpec(/*nearly=*/false);
    for (v1::Option& option : *spec.mutable_options()->mutable_options()) {
      if (option.name() == "platform") {
        option.mutable_value()->set_text(OneOf(std::vector<std::string>{
            "a", "a,b", "\"a,b\",c", "-o", "--", "a/b"}));
      }
    }
    if (const auto args = Admitted(spec, Caller::Local())) {
      cases.push_back(MakeCase(*args, {}));
    }
  }
  Compare(cases);
}

TEST_F(OracleTest, NamesNothingButCopiesForUntrustedCallers) {
  std::vector<Case> cases;
  int paths = 0;
  for (int i = 0; cases.size() < kCases / 4; ++i) {
    ASSERT_LT(i, 5 * kCases);
    const auto args = Admitted(AnySpec(/*nearly=*/true), Caller{"anonymous"});
    if (!args) continue;
    const Reading reading = ReadArguments(*args);
    std::vector<std::string> records;
    ASSERT_EQ(reading.rest,
              std::vector<std::string>{absl::StrCat(kStaging, "context")});
    for (const auto& [name, values] : reading.flags) {
      for (const std::string& value : values) {
        if (name == "file" || name == "iidfile") {
          ASSERT_TRUE(value.empty() || absl::StartsWith(value, kStaging));
        }
        if (name != "output" && name != "secret" && name != "cache-from" &&
            name != "cache-to") {
          continue;
        }
        records.push_back(value);
        const auto attributes = ReadAttributes(value);
        ASSERT_TRUE(attributes.has_value()) << value;
        for (const Attribute& attribute : *attributes) {
          if (attribute.key != "dest" && attribute.key != "src" &&
              attribute.key != "source") {
            continue;
          }
          ++paths;
          ASSERT_TRUE(absl::StartsWith(attribute.value, kStaging)) << value;
        }
      }
    }
    cases.push_back(MakeCase(*args, records));
  }
  EXPECT_GT(paths, kCases / 100);
  Compare(cases);
}

}  // namespace
}  // namespace containerbuilder::service
