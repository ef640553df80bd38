#include "build/csv.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

std::optional<std::vector<std::string>> Values(const std::string& record) {
  const auto fields = ReadCsv(record);
  if (!fields) return std::nullopt;
  std::vector<std::string> values;
  for (const CsvField& field : *fields) values.push_back(field.value);
  return values;
}

TEST(CsvTest, ReadsFieldsAsBuildctlDoes) {
  const std::pair<std::string, std::vector<std::string>> cases[] = {
      {"a", {"a"}},
      {"a,b", {"a", "b"}},
      {",", {"", ""}},
      {"a,", {"a", ""}},
      {" a , b ", {" a ", " b "}},
      {"\"a,b\",c", {"a,b", "c"}},
      {"\"a\"\"b\"", {"a\"b"}},
      {"\"\"", {""}},
      {"\"\"\"\"", {"\""}},
      {"\"a\nb\"", {"a\nb"}},
      {"a\n", {"a"}},
      {"a\r\n", {"a"}},
      {"a\n\n", {"a\n"}},
      {"a\r", {"a\r"}},
      {"\"a\",", {"a", ""}},
      {"\"a\"\n", {"a"}},
  };
  for (const auto& [record, values] : cases) {
    EXPECT_THAT(Values(record), Optional(values)) << record;
  }
  for (const std::string& record : std::vector<std::string>{
           "", "\n", "\r\n", "\"", "\"a", "\"a\"b", "a\"", "a\"b\"", "a,\"",
           "\"a\" ,b", "\"\"\"", "b, \"a\""}) {
    EXPECT_EQ(Values(record), std::nullopt) << record;
  }
}

TEST(CsvTest, KeepsFieldsAsTheyStand) {
  const auto fields = ReadCsv("\"a\"\"\",b");
  ASSERT_TRUE(fields.has_value());
  ASSERT_EQ(fields->size(), 2U);
  EXPECT_EQ((*fields)[0].raw, "\"a\"\"\"");
  EXPECT_EQ((*fields)[1].raw, "b");
}

TEST(CsvTest, ReadsAttributesWithKeysInLowerCase) {
  const auto attributes = ReadAttributes(
      "TYPE=docker,\"Dest=/a,b\",x=,to\xe2\x84\xaa"
      "en=1,=y");
  ASSERT_TRUE(attributes.has_value());
  std::vector<std::string> shown;
  for (const Attribute& attribute : *attributes) {
    shown.push_back(attribute.key + ":" + attribute.value);
  }
  EXPECT_THAT(shown,
              ElementsAre("type:docker", "dest:/a,b", "x:", "token:1", ":y"));
  EXPECT_EQ(ReadAttributes("type=a,b"), std::nullopt);
  EXPECT_EQ(ReadAttributes("a"), std::nullopt);
  EXPECT_EQ(ReadAttributes("a=\"b\""), std::nullopt);
}

TEST(CsvTest, WritesWhatItReads) {
  const std::vector<Attribute> attributes = {
      {"type", "local"}, {"dest", "/a,b"}, {"x", "a\"b"}, {"y", "a\n"}};
  const std::string record = WriteAttributes(attributes);
  EXPECT_EQ(record, "type=local,\"dest=/a,b\",\"x=a\"\"b\",\"y=a\n\"");
  const auto read = ReadAttributes(record);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(WriteAttributes(*read), record);
}

}  // namespace
}  // namespace containerbuilder::service
