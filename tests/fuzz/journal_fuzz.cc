// The journal's reader: of any bytes it makes no wrong event, what it sets
// right stays right, and its two ways of reading agree.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fuzz/fuzz.h"
#include "journal/format.h"
#include "journal/journal.h"
#include "unit/journal/memory_disk.h"

namespace containerbuilder::service {
namespace {

using fuzz::Check;
using fuzz::Input;

constexpr char kName[] = "builds/01aryz6s41tsv4rrffq69g5fav";
constexpr char kAdmission[] = "what was asked for";

// Two files of a journal.
struct Files {
  std::string journal;
  std::string sync;
};

// What recovery told.
struct Told {
  absl::Status status;
  absl::Status damage;
  std::optional<std::string> admission;
  std::vector<std::string> events;
  bool finished = false;
  std::shared_ptr<Journal> journal;
};

class Disk {
 public:
  explicit Disk(const Files& files) {
    disk_->Put("/b/journal", files.journal);
    if (!files.sync.empty()) disk_->Put("/b/journal.sync", files.sync);
  }
  Disk() = default;

  Journal::Options Options() const {
    Journal::Options options;
    options.system = disk_;
    return options;
  }

  Files Contents() const {
    return {disk_->Contents("/b/journal"), disk_->Contents("/b/journal.sync")};
  }

  Told Recover() const {
    Told told;
    absl::StatusOr<Journal::Recovery> recovery = Journal::Recover(
        "/b", kName, Options(),
        [&told](std::int64_t sequence, absl::string_view event) {
          told.events.emplace_back(event);
          Check(sequence == static_cast<std::int64_t>(told.events.size()),
                "sequences are dense");
        });
    told.status = recovery.status();
    if (!recovery.ok()) return told;
    told.damage = recovery->damage;
    told.admission = recovery->admission;
    told.finished = recovery->finished.has_value();
    told.journal = recovery->journal;
    return told;
  }

 private:
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
};

// A journal as the service writes it.
struct Written {
  Files files;
  std::vector<std::string> events;
};

Written Write(Input& input) {
  Written written;
  const Disk disk;
  const auto journal = Journal::Create("/b", kName, kAdmission, disk.Options());
  Check(journal.ok(), "a journal is made");
  const int events = input.Byte() % 12;
  for (int i = 0; i < events; ++i) {
    v1::BuildEvent event;
    event.mutable_output()->set_data(std::string(input.Text()));
    const bool last = i + 1 == events && input.Byte() % 2 == 0;
    if (last) event.mutable_finished()->mutable_build()->set_name(kName);
    const absl::Status added =
        last ? (*journal)->Finish(event)
             : (input.Byte() % 2 == 0 ? (*journal)->AppendSynced(event)
                                      : (*journal)->Append(event));
    Check(added.ok(), "an event is added");
    written.events.push_back(event.SerializeAsString());
  }
  written.files = disk.Contents();
  return written;
}

// Damage of all kinds, at places that the input names.
void Damage(Input& input, std::string& file) {
  const auto place = [&](std::size_t size) {
    return size == 0 ? 0 : input.Number() % size;
  };
  for (int i = input.Byte() % 4; i > 0 && !file.empty(); --i) {
    const std::size_t at = place(file.size());
    switch (input.Byte() % 6) {
      case 0:
        file.resize(at);
        break;
      case 1:
        file[at] = static_cast<char>(file[at] ^ (1 << input.Byte() % 8));
        break;
      case 2: {
        const absl::string_view bytes = input.Text();
        file.replace(at, bytes.size(), bytes.data(), bytes.size());
        break;
      }
      case 3:  // a part again, elsewhere
        file.insert(place(file.size()), file.substr(at, input.Byte()));
        break;
      case 4:
        file.erase(at, input.Byte());
        break;
      default:
        file.append(input.Byte(), '\0');
    }
  }
}

// Frames with checksums that are right and contents that need not be.
Files Forge(Input& input) {
  const std::uint32_t seed = ChecksumSeed(kName);
  Files files;
  files.journal = EncodeFileHeader(kJournalMagic, seed);
  files.sync = EncodeFileHeader(kSyncMagic, seed);
  std::int64_t sequence = 0;
  for (int i = 0; i < 16 && !input.empty(); ++i) {
    const std::uint8_t kind = input.Byte();
    // Mostly as it should be.
    sequence = kind % 8 == 7 ? input.Number() : sequence + kind % 8 / 2 % 2;
    const auto begin = static_cast<std::int64_t>(files.journal.size());
    const std::string frame =
        EncodeFrame(seed, begin, static_cast<FrameType>(kind >> 4),
                    input.Byte() % 8 == 0, sequence, input.Text());
    files.journal += frame;
    if (input.Byte() % 2 == 0) {
      Mark mark{static_cast<std::int64_t>(files.journal.size()), sequence,
                static_cast<std::uint32_t>(frame.size())};
      if (input.Byte() % 8 == 0) mark.offset = input.Number();
      files.sync +=
          EncodeMark(seed, static_cast<std::int64_t>(files.sync.size()), mark);
    }
  }
  return files;
}

// What a reader gets from its beginning, or from behind an event.
std::vector<std::string> ReadAll(const Journal& journal,
                                 Journal::Cursor cursor) {
  std::vector<std::string> events;
  while (true) {
    const absl::StatusOr<std::optional<Journal::Entry>> entry =
        journal.Read(cursor);
    if (!entry.ok() || !entry->has_value()) return events;
    events.push_back(*(*entry)->event);
  }
}

void CheckReading(const Told& told, Input& input) {
  const std::vector<std::string> read = ReadAll(*told.journal, {});
  Check(read == told.events, "readers get what recovery was shown");
  const std::int64_t after =
      input.Byte() % (told.events.size() + 1);  // NOLINT: few events
  const absl::StatusOr<Journal::Cursor> cursor = told.journal->After(after);
  if (!cursor.ok()) return;
  const std::vector<std::string> rest = ReadAll(*told.journal, *cursor);
  Check(std::equal(rest.begin(), rest.end(), told.events.begin() + after,
                   told.events.end()),
        "and the rest from behind any event");
}

// `written`: what was put into the files before they were damaged.
void CheckRecovery(const Files& files, const Written* written, Input& input) {
  const Disk disk(files);
  Told told = disk.Recover();
  if (!told.status.ok()) {
    Check(told.journal == nullptr, "no journal without a header");
    return;
  }
  if (written != nullptr) {
    // Behind damage nothing but the end is told.
    Check(told.events.size() <= written->events.size() &&
              std::equal(told.events.begin(), told.events.end(),
                         written->events.begin()),
          "what is told was written, in that order");
    Check(!told.admission || *told.admission == kAdmission,
          "as it was admitted");
  }
  if (told.damage.ok()) CheckReading(told, input);
  if (told.damage.ok() && !told.finished) {
    v1::BuildEvent event;
    event.mutable_output()->set_data("more");
    Check(told.journal->Append(event).ok(), "it takes more");
    told.events.push_back(event.SerializeAsString());
  }
  told.journal.reset();

  // As often as the service is started.
  const Told again = disk.Recover();
  Check(again.status.ok(), "it is recovered again");
  Check(again.damage.ok() == told.damage.ok(), "with the same damage");
  Check(again.events == told.events, "and the same events");
  Check(again.finished == told.finished, "and the same end");
  Check(again.admission == told.admission, "of the same build");
}

}  // namespace
}  // namespace containerbuilder::service

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace containerbuilder::service;  // NOLINT
  Input input(data, size);
  switch (input.Byte() % 3) {
    case 0: {
      Files files;
      files.sync = std::string(input.LongText());
      files.journal = std::string(input.Rest());
      CheckRecovery(files, nullptr, input);
      break;
    }
    case 1: {
      Written written = Write(input);
      Files damaged = written.files;
      Damage(input, damaged.journal);
      Damage(input, damaged.sync);
      CheckRecovery(damaged, &written, input);
      break;
    }
    default:
      CheckRecovery(Forge(input), nullptr, input);
  }
  return 0;
}
