#include "local_paths.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace containerbuilder::cli {
namespace {

TEST(MakeAbsoluteTest, PathsAsSeenFromTheFolder) {
  EXPECT_EQ(MakeAbsolute("/w", "a"), "/w/a");
  EXPECT_EQ(MakeAbsolute("/w", "./a"), "/w/a");
  EXPECT_EQ(MakeAbsolute("/w", ".///./a/"), "/w/a/");
  EXPECT_EQ(MakeAbsolute("/w", "."), "/w");
  EXPECT_EQ(MakeAbsolute("/w", "./"), "/w");
  EXPECT_EQ(MakeAbsolute("/w", ".."), "/w/..");
  EXPECT_EQ(MakeAbsolute("/w", "a/../b"), "/w/a/../b");
  EXPECT_EQ(MakeAbsolute("/w", ".hidden"), "/w/.hidden");
  EXPECT_EQ(MakeAbsolute("/w", "/a"), "/a");
  EXPECT_EQ(MakeAbsolute("/w", "//a"), "//a");
  EXPECT_EQ(MakeAbsolute("/w", ""), "");
  EXPECT_EQ(MakeAbsolute("/", "a"), "/a");
  EXPECT_EQ(MakeAbsolute("/", "."), "/");
}

std::string Made(std::string_view flag, std::string_view value,
                 std::string_view folder = "/w") {
  return MakePathsAbsolute(*FindNerdctlBuildFlag(flag), folder, value);
}

void ExpectUnchanged(std::string_view flag, std::string_view value) {
  EXPECT_EQ(Made(flag, value), value);
}

TEST(MakePathsAbsoluteTest, WholeValues) {
  EXPECT_EQ(Made("file", "docker/Dockerfile"), "/w/docker/Dockerfile");
  EXPECT_EQ(Made("iidfile", "id,=\"x"), "/w/id,=\"x");
  ExpectUnchanged("file", "/Dockerfile");
  ExpectUnchanged("file", "");
}

TEST(MakePathsAbsoluteTest, FlagsWithoutPaths) {
  ExpectUnchanged("tag", "app");
  ExpectUnchanged("target", "./stage");
  ExpectUnchanged("platform", "linux/amd64");
  ExpectUnchanged("label", "src=a,dest=b");
  ExpectUnchanged("build-arg", "src=a");
}

TEST(MakePathsAbsoluteTest, Attributes) {
  EXPECT_EQ(Made("secret", "id=x,src=a"), "id=x,src=/w/a");
  EXPECT_EQ(Made("secret", "id=x,source=./a"), "id=x,source=/w/a");
  EXPECT_EQ(Made("secret", "src=a,id=x"), "src=/w/a,id=x");
  EXPECT_EQ(Made("secret", "id=x,SRC=a"), "id=x,SRC=/w/a");
  EXPECT_EQ(Made("secret", "type=file,id=x,src=a"), "type=file,id=x,src=/w/a");
  EXPECT_EQ(Made("secret", "id=x,src=a=b"), "id=x,src=/w/a=b");
  EXPECT_EQ(Made("output", "type=tar,dest=a"), "type=tar,dest=/w/a");
  EXPECT_EQ(Made("cache-from", "type=local,src=a"), "type=local,src=/w/a");
  EXPECT_EQ(Made("cache-to", "type=local,dest=.,mode=max"),
            "type=local,dest=/w,mode=max");
}

TEST(MakePathsAbsoluteTest, AttributesThatStay) {
  ExpectUnchanged("secret", "id=x");
  ExpectUnchanged("secret", "id=x,env=NAME");
  ExpectUnchanged("secret", "type=env,id=x,src=NAME");
  ExpectUnchanged("secret", "id=x,src=NAME,type=env");
  ExpectUnchanged("secret", "id=x,src=");
  ExpectUnchanged("secret", "id=x,src=/a");
  ExpectUnchanged("secret", "id=x, src=a");  // the key is ` src`
  ExpectUnchanged("secret", "id=src=a");
  ExpectUnchanged("output", "type=tar,dest=-");
  ExpectUnchanged("output", "type=image,name=dest,push=true");
  ExpectUnchanged("output", "type=local,dest");
  ExpectUnchanged("cache-to", "type=registry,ref=src/app");
}

TEST(MakePathsAbsoluteTest, ImagesToCacheInStay) {
  ExpectUnchanged("cache-from", "user/app:cache");
  ExpectUnchanged("cache-to", "user/app:cache");
  // Without `type=` nerdctl takes all of it for an image.
  ExpectUnchanged("cache-from", "src=a");
}

TEST(MakePathsAbsoluteTest, Csv) {
  EXPECT_EQ(Made("output", R"(type=local,"dest=a,b")"),
            R"(type=local,"dest=/w/a,b")");
  EXPECT_EQ(Made("output", R"("type=local","dest=a")"),
            R"("type=local",dest=/w/a)");
  EXPECT_EQ(Made("output", R"(type=local,"dest=a""b")"),
            R"(type=local,"dest=/w/a""b")");
  EXPECT_EQ(Made("output", R"(type=local,dest=a,"x=""y""",z=)"),
            R"(type=local,dest=/w/a,"x=""y""",z=)");
  EXPECT_EQ(Made("output", "type=local,dest=a,"), "type=local,dest=/w/a,");
  EXPECT_EQ(Made("output", "type=local,dest=a\n"), "type=local,dest=/w/a\n");
  EXPECT_EQ(Made("output", "type=local,dest=a\r\n"),
            "type=local,dest=/w/a\r\n");
  EXPECT_EQ(Made("output", "type=local,dest=a", "/odd,folder"),
            R"(type=local,"dest=/odd,folder/a")");
  EXPECT_EQ(Made("output", "type=local,dest=a", R"(/odd"folder)"),
            R"(type=local,"dest=/odd""folder/a")");
}

TEST(MakePathsAbsoluteTest, WhatDoesNotParseStays) {
  ExpectUnchanged("output", R"(type=local,dest=a"b)");
  ExpectUnchanged("output", R"(type=local,"dest=a)");
  ExpectUnchanged("output", R"(type=local,"dest=a"b)");
  ExpectUnchanged("secret", "");
  ExpectUnchanged("secret", "src");
}

TEST(MakePathsAbsoluteTest, OutputFolder) {
  EXPECT_EQ(Made("output", "out"), "/w/out");
  EXPECT_EQ(Made("output", "."), "/w");
  EXPECT_EQ(Made("output", "dest=out"), "/w/dest=out");
  ExpectUnchanged("output", "/out");
  ExpectUnchanged("output", "-");
  ExpectUnchanged("output", "");
  EXPECT_EQ(Made("output", "out", "/odd,folder"),
            R"(type=local,"dest=/odd,folder/out")");
  EXPECT_EQ(Made("output", "out", "/type=x"), "type=local,dest=/type=x/out");
}

TEST(MakePathsAbsoluteTest, NamedContexts) {
  EXPECT_EQ(Made("build-context", "lib=../lib"), "lib=/w/../lib");
  EXPECT_EQ(Made("build-context", "lib=a=b,c"), "lib=/w/a=b,c");
  EXPECT_EQ(Made("build-context", "lib=oci-layout://layout"),
            "lib=oci-layout:///w/layout");
  ExpectUnchanged("build-context", "lib=oci-layout:///layout");
  ExpectUnchanged("build-context", "lib=/lib");
  ExpectUnchanged("build-context", "lib=https://example.com/a.git");
  ExpectUnchanged("build-context", "lib=docker-image://alpine");
  ExpectUnchanged("build-context", "lib=target:base");
  ExpectUnchanged("build-context", "lib=");
  ExpectUnchanged("build-context", "lib");
}

TEST(MakePathsAbsoluteTest, SshKeys) {
  EXPECT_EQ(Made("ssh", "default=agent.sock"), "default=/w/agent.sock");
  EXPECT_EQ(Made("ssh", "id=a,/b,./c"), "id=/w/a,/b,/w/c");
  EXPECT_EQ(Made("ssh", "id=a,raw=true"), "id=/w/a,raw=true");
  ExpectUnchanged("ssh", "default");
  ExpectUnchanged("ssh", "default=");
}

}  // namespace
}  // namespace containerbuilder::cli
