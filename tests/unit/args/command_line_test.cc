#include "build/command_line.h"

#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

TEST(MaskSecretsTest, MasksValuesOfSecretAttributes) {
  const std::pair<std::string, std::string> cases[] = {
      // As BuildKit reads them: CSV, keys in any case.
      {"type=gha,token=abc", "type=gha,token=***"},
      {"token=abc,type=gha", "token=***,type=gha"},
      {"TOKEN=abc", "TOKEN=***"},
      {"token=", "token=***"},
      {"token=a=b", "token=***"},
      {"type=s3,access_key_id=a,secret_access_key=b,session_token=c,x=y",
       "type=s3,access_key_id=***,secret_access_key=***,session_token=***,"
       "x=y"},
      {"password=p", "password=***"},
      {R"(type=gha,"token=a,b",mode=max)", R"(type=gha,"token=***",mode=max)"},
      {R"("Token=a""b")", R"("Token=***")"},
      {R"("token=a"",type=x")", R"("token=***")"},
      {R"("a=b","c=d,token=e")", R"("a=b","c=d,token=e")"},
      // White space is not the key's, whatever BuildKit makes of it.
      {"a=b, token=c", "a=b, token=***"},
      // A secret with a comma that nobody quoted.
      {"token=ab,cd,ef,mode=max", "token=***,mode=max"},
      // What does not parse shows nothing after the secret's name.
      {"type=x,\"token=abc", "type=x,\"token=***"},
      {"a=\"b,Token=abc,d=e", "a=\"b,Token=***"},
      {"token=a\"b,c=d", "token=***"},
      {"\"a=b\"x,password=p,token=t", "\"a=b\"x,password=***"},
      {"type=x,\"token=abc\"\n", "type=x,\"token=***\"\n"},
      // Nothing secret.
      {"", ""},
      {"token", "token"},
      {"tokens=a", "tokens=a"},
      {"mytoken=a", "mytoken=a"},
      {"id=token,src=/run/token", "id=token,src=/run/token"},
      {"a=\"b", "a=\"b"},
      {"user/app:cache", "user/app:cache"},
      {"a,b,,=c", "a,b,,=c"},
      {"type=local,\"dest=/a,b\"", "type=local,\"dest=/a,b\""},
  };
  for (const auto& [argument, shown] : cases) {
    EXPECT_EQ(MaskSecrets(argument), shown) << argument;
  }
}

TEST(MaskSecretsTest, MasksUserinfoOfUrls) {
  const std::pair<std::string, std::string> cases[] = {
      {"https://user:pass@host/path", "https://***@host/path"},
      {"https://ghp_token@github.com", "https://***@github.com"},
      {"https://user:p@ss@host:443/", "https://***@host:443/"},
      {"PROXY=http://u:p@h:80", "PROXY=http://***@h:80"},
      {"type=registry,ref=https://u:p@h/x,mode=max",
       "type=registry,ref=https://***@h/x,mode=max"},
      {"a=https://u:p,q@h", "a=https://***@h"},
      {"http://a:b@c http://d:e@f", "http://***@c http://***@f"},
      {"https://user:pa/ss@host/x", "https://***@host/x"},
      {"ssh://git@host/x", "ssh://***@host/x"},
      {"https://:@host", "https://***@host"},
      {"http_proxy=u:p@h:80", "http_proxy=***@h:80"},
      {"--build-arg=HTTPS_PROXY=u:p/w@h", "--build-arg=HTTPS_PROXY=***@h"},
      {"all_proxy=http://u:p@h", "all_proxy=http://***@h"},
      {"a_proxy=u:p@h,b_proxy=v:q@i,c_proxy=http://w:r@j",
       "a_proxy=***@h,b_proxy=***@i,c_proxy=http://***@j"},
      {"https://u:p_proxy=x@h", "https://***@h"},
      {"no_proxy=h,.example,10.0.0.0/8", "no_proxy=h,.example,10.0.0.0/8"},
      // No userinfo.
      {"https://host/@scope/package", "https://host/@scope/package"},
      {"https://host:8080/a@b", "https://host:8080/a@b"},
      {"https://host?mail=a@b", "https://host?mail=a@b"},
      {"https://host", "https://host"},
      {"unix:///run/x.sock", "unix:///run/x.sock"},
      {"git@github.com:a/b", "git@github.com:a/b"},
      {"alpine@sha256:abc", "alpine@sha256:abc"},
      {"://", "://"},
      {"://@", "://***@"},
  };
  for (const auto& [argument, shown] : cases) {
    EXPECT_EQ(MaskSecrets(argument), shown) << argument;
  }
}

// However the rest of the value looks, a canary as a secret is not shown.
TEST(MaskSecretsTest, ShowsNoSecretInAnySurroundings) {
  const std::string canary = "canary7f3a";
  const std::string pieces[] = {",",     "\"", "\"\"",  "=",      "\n",
                                "a=b",   " ",  "x",     "token=", "é",
                                "://u@", "\r", "type=", "'",      "\\"};
  std::mt19937 random(1);
  std::uniform_int_distribution<std::size_t> piece(0, std::size(pieces) - 1);
  std::uniform_int_distribution<int> length(0, 6);
  for (int i = 0; i < 100'000; ++i) {
    // A field of its own, in quotes or not.
    const bool quoted = i % 2 == 0;
    std::string argument;
    for (int n = length(random); n > 0; --n) {
      absl::StrAppend(&argument, "k", n, "=v,");
    }
    absl::StrAppend(&argument, quoted ? "\"" : "", "pAssword=", canary);
    for (int n = length(random); n > 0; --n) argument += pieces[piece(random)];
    if (quoted) argument += '"';
    const std::string shown = MaskSecrets(argument);
    EXPECT_THAT(shown, Not(HasSubstr(canary))) << argument;
    EXPECT_EQ(MaskSecrets(shown), shown) << argument;
  }
}

// The `=` that tells of a field of its own is part of what is masked.
TEST(MaskSecretsTest, MasksWhatAMaskShows) {
  EXPECT_EQ(MaskSecrets("token=a,https://u:k=p@h,b=c"), "token=***,b=c");
}

TEST(MaskSecretsTest, TakesLinearTime) {
  for (const std::string piece :
       {"://", "://a:b/", "://a@", "_proxy=", "_proxy=a@", "\"\"", "\"", ",",
        "token=,", "=", "a "}) {
    std::string argument;
    while (argument.size() < 4'000'000) argument += piece;
    EXPECT_FALSE(MaskSecrets(argument).empty());
  }
}

TEST(ShortenedTest, KeepsShortTextsAndCutsLongOnes) {
  EXPECT_EQ(Shortened(""), "");
  EXPECT_EQ(Shortened(std::string(128, 'a')), std::string(128, 'a'));
  EXPECT_EQ(Shortened(std::string(1'000'000, 'a')),
            std::string(128, 'a') + "...");
  // Not within a character: a message must be UTF-8.
  EXPECT_THAT(Shortened(std::string(127, 'a') + "éé"), Not(HasSubstr("\xc3")));
}

TEST(CommandLineTest, LeavesPlainWordsAlone) {
  EXPECT_EQ(CommandLine({}), "");
  EXPECT_EQ(
      CommandLine({"nerdctl", "build", "--tag", "a/b:1.0_x@y", "--platform",
                   "linux/amd64,linux/arm64", "--build-arg", "A=%+b", "."}),
      "nerdctl build --tag a/b:1.0_x@y --platform "
      "linux/amd64,linux/arm64 --build-arg A=%+b .");
}

TEST(CommandLineTest, QuotesTheRest) {
  EXPECT_EQ(
      CommandLine({"", "a b", "it's", "$x", "`x`", "a\nb", "*", "~", "é", "'"}),
      "'' 'a b' 'it'\\''s' '$x' '`x`' 'a\nb' '*' '~' 'é' ''\\'''");
}

TEST(CommandLineTest, MasksSecrets) {
  EXPECT_EQ(CommandLine({"--cache-to", "type=gha,token=x y"}),
            "--cache-to 'type=gha,token=***'");
}

// The words as a shell reads them.
std::vector<std::string> ReadByShell(const std::string& line) {
  // By a file, because one argument of `sh -c` holds 128 KiB only.
  const std::string script = testing::TempDir() + "/words.sh";
  std::FILE* file = std::fopen(script.c_str(), "w");
  std::fputs(absl::StrCat("printf '%s\\0' ", line, "\n").c_str(), file);
  std::fclose(file);
  std::FILE* pipe = popen(absl::StrCat("sh '", script, "'").c_str(), "r");
  std::vector<std::string> words(1);
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    if (c == '\0') {
      words.emplace_back();
    } else {
      words.back().push_back(static_cast<char>(c));
    }
  }
  pclose(pipe);
  std::remove(script.c_str());
  words.pop_back();
  return words;
}

TEST(CommandLineTest, AShellReadsTheSameWords) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> byte(1, 255);
  std::uniform_int_distribution<int> ascii(1, 127);
  std::uniform_int_distribution<int> length(0, 12);
  std::vector<std::string> words;
  for (int c = 1; c < 256; ++c) words.emplace_back(1, static_cast<char>(c));
  while (words.size() < 5000) {
    std::string word;
    auto& bytes = words.size() % 2 == 0 ? byte : ascii;
    for (int n = length(random); n > 0; --n) {
      word.push_back(static_cast<char>(bytes(random)));
    }
    // Masking is not what is tested here.
    if (MaskSecrets(word) == word) words.push_back(std::move(word));
  }
  const std::vector<std::string> read = ReadByShell(CommandLine(words));
  ASSERT_THAT(read, SizeIs(words.size()));
  EXPECT_EQ(read, words);
}

}  // namespace
}  // namespace containerbuilder::service
