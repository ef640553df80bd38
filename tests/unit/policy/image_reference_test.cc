#include "build/image_reference.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

TEST(ImageReferenceTest, HasOneShortSpelling) {
  const std::string digest = absl::StrCat("sha256:", std::string(64, 'a'));
  const std::pair<std::string, std::string> cases[] = {
      {"app", "app:latest"},
      {"app:1", "app:1"},
      {"library/app", "app:latest"},
      {"docker.io/library/app:1", "app:1"},
      {"index.docker.io/library/app:1", "app:1"},
      {"docker.io/app", "app:latest"},
      {"team/app", "team/app:latest"},
      {"localhost/app", "localhost/app:latest"},
      {"localhost:5000/app:1", "localhost:5000/app:1"},
      {"registry.example/a/b/c", "registry.example/a/b/c:latest"},
      {"[::1]:5000/a", "[::1]:5000/a:latest"},
      {"UPPER/app", "UPPER/app:latest"},  // a host, because no path is such
      {"a__b/c--d.e_f:T.-_1", "a__b/c--d.e_f:T.-_1"},
      {"app@" + digest, "app@" + digest},
      {"app:1@" + digest, "app:1@" + digest},
  };
  for (const auto& [text, expected] : cases) {
    const auto reference = ReadImageReference(text);
    ASSERT_TRUE(reference.has_value()) << text;
    EXPECT_EQ(reference->Short(), expected) << text;
  }
}

TEST(ImageReferenceTest, RefusesWhatIsNone) {
  for (const std::string& text :
       std::vector<std::string>{"",
                                ":",
                                "@",
                                "/",
                                "a/",
                                "/a",
                                "a//b",
                                "A",
                                "team/App",
                                "a:",
                                "a:-",
                                "a:.",
                                "a b",
                                "a,b",
                                "a\"b",
                                "a\n",
                                "a=b",
                                "-a",
                                "a-",
                                "a..b",
                                "a___b",
                                "a._b",
                                "http://a/b",
                                "a:1:2",
                                "../a",
                                "a/..",
                                "a@sha256:0",
                                "a@md5:00000000000000000000000000000000",
                                "host:x/a",
                                "ho_st.x/a",
                                "-h.x/a",
                                std::string(64, 'a'),
                                std::string(300, 'a'),
                                "a:" + std::string(129, 'a'),
                                "\xc3\xa4",
                                "a:\xc3\xa4"}) {
    EXPECT_FALSE(ReadImageReference(text).has_value()) << text;
  }
}

TEST(ImageReferenceTest, TellsTheHost) {
  EXPECT_EQ(ReadImageReference("a/b")->host, "docker.io");
  EXPECT_EQ(ReadImageReference("index.docker.io/a")->host, "docker.io");
  EXPECT_EQ(ReadImageReference("a.b/c")->host, "a.b");
  EXPECT_EQ(ReadImageReference("a:1/c")->host, "a:1");
}

}  // namespace
}  // namespace containerbuilder::service
