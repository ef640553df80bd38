// A build's record, put together of what its journal and the store have of it:
// whatever they hold, the journal's word counts.

#include <memory>
#include <optional>
#include <string>

#include "build/recovery.h"
#include "fuzz/fuzz.h"
#include "google/protobuf/util/message_differencer.h"
#include "journal/format.h"
#include "unit/journal/memory_disk.h"

namespace containerbuilder::service {
namespace {

using fuzz::Check;
using fuzz::Input;
using google::protobuf::util::MessageDifferencer;
using storage::v1::BuildRecord;

constexpr char kName[] = "builds/01aryz6s41tsv4rrffq69g5fav";

bool Equal(const google::protobuf::Message& a,
           const google::protobuf::Message& b) {
  return MessageDifferencer::Equals(a, b);
}

void CheckMerge(Input& input) {
  const std::uint32_t seed = ChecksumSeed(kName);
  std::string journal = EncodeFileHeader(kJournalMagic, seed);
  const auto add = [&](FrameType type, bool last, std::int64_t sequence,
                       absl::string_view payload) {
    journal += EncodeFrame(seed, static_cast<std::int64_t>(journal.size()),
                           type, last, sequence, payload);
  };
  const std::string admission(input.LongText());
  add(FrameType::kAdmission, false, 0, admission);
  std::optional<BuildRecord> stored;
  if (input.Byte() % 2 == 0) {
    const absl::string_view bytes = input.LongText();
    stored.emplace();
    // As the store does, which answers no record that is none.
    if (!fuzz::Parse(bytes, *stored)) stored.reset();
  }
  std::string event;
  bool last = false;
  for (std::int64_t sequence = 1; sequence < 10 && !input.empty() && !last;
       ++sequence) {
    last = input.Byte() % 4 == 0;
    event = std::string(input.LongText());
    add(FrameType::kEvent, last, sequence, event);
  }

  const auto disk = std::make_shared<MemoryDisk>();
  disk->Put("/b/journal", journal);
  Journal::Options options;
  options.system = disk;
  const RecoveredBuild build = RecoverBuild("/b", kName, stored, options);
  Check(build.damage.ok(), "nothing is damaged", build.damage.ToString());
  Check((build.journal != nullptr) == (!last && build.record.has_value()),
        "what has not ended and is known takes more");

  BuildRecord admitted;
  if (!fuzz::Parse(admission, admitted)) {
    if (!last) {
      Check(build.record.has_value() == stored.has_value(),
            "the store tells where the journal does not");
    }
    return;
  }
  Check(build.record.has_value(), "the journal tells");
  const BuildRecord& record = *build.record;
  Check(record.request_id() == admitted.request_id() &&
            record.request_sha256() == admitted.request_sha256() &&
            record.trusted_caller() == admitted.trusted_caller() &&
            record.has_secrets() == admitted.has_secrets(),
        "what was asked for, and by whom, is the journal's");
  if (stored) {
    Check(record.arrival() == stored->arrival(), "its arrival is the store's");
  }
  v1::BuildEvent end;
  if (last && fuzz::Parse(event, end) && end.has_finished()) {
    Check(Equal(record.build(), end.finished().build()),
          "its end is the journal's");
  }
  // As it is kept from now on.
  BuildRecord again;
  Check(fuzz::Parse(record.SerializeAsString(), again) && Equal(again, record),
        "it can be kept");
}

}  // namespace
}  // namespace containerbuilder::service

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  containerbuilder::fuzz::Input input(data, size);
  containerbuilder::service::CheckMerge(input);
  return 0;
}
