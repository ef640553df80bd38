#include "build/artifact_rules.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "build/csv.h"
#include "build/grammar.h"

namespace containerbuilder::service {
namespace {

// A value of `output`, as nerdctl and buildctl read it.
struct Output {
  std::vector<Attribute> attributes;
  std::string type;
  std::string dest;  // `-` is standard output
  bool has_dest = false;
  bool is_layout = false;  // a folder in place of an image's archive
  bool is_image() const { return type == "oci" || type == "docker"; }
  // Without a `dest`, nerdctl loads an image, and a tar goes to standard
  // output.
  bool comes_back() const {
    return type == "local" || type == "tar" || (is_image() && has_dest);
  }
};

std::optional<Output> ReadOutput(absl::string_view value) {
  // As nerdctl does.
  const std::string text = absl::StrContains(value, "type=")
                               ? std::string(value)
                               : absl::StrCat("type=local,dest=", value);
  auto attributes = ReadAttributes(text);
  if (!attributes) return std::nullopt;
  Output output;
  for (const Attribute& attribute : *attributes) {
    // Of two buildctl takes the last.
    if (attribute.key == "type") output.type = attribute.value;
    if (attribute.key == "tar") output.is_layout = IsFalse(attribute.value);
    if (attribute.key != "dest") continue;
    output.dest = attribute.value;
    output.has_dest = true;
  }
  output.attributes = *std::move(attributes);
  return output;
}

void AddArtifact(v1::Artifact::Kind kind, const WrittenFlag& flag,
                 std::string filename, bool is_archive, StagingPlan& plan) {
  plan.artifacts.push_back(
      {.kind = kind,
       .field = flag.field,
       .filename = std::move(filename),
       .name = absl::StrCat("artifacts/", plan.artifacts.size() + 1, "/file"),
       .is_archive = is_archive});
}

absl::Status RedirectOutput(const std::string& staging_folder,
                            const WrittenFlag& flag, std::string& value,
                            StagingPlan& plan) {
  std::optional<Output> output = ReadOutput(value);
  if (!output) {
    return errors::OptionInvalid(
        flag.field,
        "the value is no list of key=value,key=value, with quotes around "
        "those that have a comma");
  }
  if (!output->comes_back()) return absl::OkStatus();
  const bool is_folder =
      output->type == "local" || (output->is_image() && output->is_layout);
  if (output->dest.empty()) output->dest = "-";
  if (is_folder && output->dest == "-") {
    return errors::OptionInvalid(
        flag.field, absl::StrCat("type=", output->type,
                                 " makes a folder and needs dest=FOLDER; "
                                 "type=tar makes an archive"));
  }
  AddArtifact(is_folder ? v1::Artifact::KIND_FOLDER : v1::Artifact::KIND_FILE,
              flag, output->dest, output->is_image(), plan);
  // One file in place of a folder: an archive of the same.
  auto& attributes = output->attributes;
  attributes.erase(
      std::remove_if(attributes.begin(), attributes.end(),
                     [&](const Attribute& attribute) {
                       return attribute.key == "dest" ||
                              attribute.key == "type" ||
                              (is_folder && (attribute.key == "tar" ||
                                             attribute.key == "mode"));
                     }),
      attributes.end());
  attributes.insert(attributes.begin(),
                    {{"type", output->type == "local" ? "tar" : output->type},
                     {"dest", absl::StrCat(staging_folder, "/",
                                           plan.artifacts.back().name)}});
  value = WriteAttributes(attributes);
  return absl::OkStatus();
}

}  // namespace

bool MayComeBack(absl::string_view flag) {
  return flag == "output" || flag == "iidfile" || flag == "metadata-file";
}

bool OutputComesBack(absl::string_view value) {
  const std::optional<Output> output = ReadOutput(value);
  return output && output->comes_back();
}

absl::Status RedirectToArtifacts(const std::string& staging_folder,
                                 WrittenFlag& flag, StagingPlan& plan) {
  if (!MayComeBack(flag.name)) return absl::OkStatus();
  for (std::string& value : flag.values) {
    if (flag.name == "output") {
      absl::Status redirected =
          RedirectOutput(staging_folder, flag, value, plan);
      if (!redirected.ok()) return redirected;
    } else if (!value.empty()) {  // which nerdctl takes for none
      AddArtifact(flag.name == "iidfile" ? v1::Artifact::KIND_IMAGE_ID
                                         : v1::Artifact::KIND_METADATA,
                  flag, value, /*is_archive=*/false, plan);
      value = absl::StrCat(staging_folder, "/", plan.artifacts.back().name);
    }
  }
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
