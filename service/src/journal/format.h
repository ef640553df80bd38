#ifndef CONTAINERBUILDER_JOURNAL_FORMAT_H_
#define CONTAINERBUILDER_JOURNAL_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "journal/file.h"

// How a journal is laid out on disk. Numbers are little-endian. Checksums are
// CRC-32C and begin with the build's name, so that what was written for another
// build is never taken for this one's, and those of headers cover their place
// in the file, so that nothing counts anywhere but where it was written.
//
// Both files of a journal begin with
//    0  8  magic
//    8  2  major version: another one is another format
//   10  2  minor version: what a reader may do without
//   12  4  checksum of the above
//
// `journal` goes on with frames:
//    0  4  length of the payload
//    4  1  type; a reader skips types that it does not know
//    5  1  flags; 1: the last event
//    6  2  zero
//    8  8  sequence of the newest event up to and with this frame
//   16  4  checksum of the payload
//   20  4  checksum of the frame's place and of the above
//   24     payload
//
// `journal.sync` goes on with marks, one for each time that the journal was
// put on disk:
//    0  8  up to which byte
//    8  8  sequence of the newest event up to there
//   16  4  size of the frame that ends there
//   20  4  checksum of the mark's place and of the above
namespace containerbuilder::service {

inline constexpr std::size_t kFileHeaderBytes = 16;
inline constexpr std::size_t kFrameHeaderBytes = 24;
inline constexpr std::size_t kMarkBytes = 24;

inline constexpr absl::string_view kJournalMagic = "CBJOURNL";
inline constexpr absl::string_view kSyncMagic = "CBJ-SYNC";

enum class FrameType : std::uint8_t {
  kAdmission = 1,  // what the build is; the first frame
  kEvent = 2,      // a serialized v1::BuildEvent
};

// What begins each checksum.
std::uint32_t ChecksumSeed(absl::string_view build_name);

std::string EncodeFileHeader(absl::string_view magic, std::uint32_t seed);
// DATA_LOSS where it is not what it should be; FAILED_PRECONDITION where a
// newer major version wrote it.
absl::Status CheckFileHeader(const File& file, absl::string_view magic,
                             std::uint32_t seed);

std::string EncodeFrame(std::uint32_t seed, std::int64_t offset, FrameType type,
                        bool last, std::int64_t sequence,
                        absl::string_view payload);

// The end of a frame.
struct Mark {
  std::int64_t offset = 0;
  std::int64_t sequence = 0;  // of the newest event before it
  std::uint32_t frame_bytes = 0;
};

std::string EncodeMark(std::uint32_t seed, std::int64_t offset,
                       const Mark& mark);
// Whether `bytes`, read at `offset`, are a mark.
bool DecodeMark(std::uint32_t seed, std::int64_t offset,
                absl::string_view bytes, Mark& mark);

// Reads frames, through a buffer of its own. For one thread.
class FrameReader {
 public:
  struct Frame {
    std::uint8_t type = 0;
    bool last = false;
    std::int64_t sequence = 0;
    std::int64_t begin = 0;
    std::int64_t end = 0;
    absl::string_view payload;  // until the next call; only from Read

    bool Is(FrameType wanted) const {
      return type == static_cast<std::uint8_t>(wanted);
    }
    Mark mark() const {
      return {end, sequence, static_cast<std::uint32_t>(end - begin)};
    }
  };

  // `block_bytes` are read at a time, or a frame where it is larger. The file
  // must outlive this.
  FrameReader(const File* file, std::uint32_t seed, std::size_t block_bytes)
      : file_(file), seed_(seed), block_bytes_(block_bytes) {}

  // The frame that begins at `offset` and ends at `limit` at the latest.
  // DATA_LOSS with the place and the reason where there is none; INTERNAL
  // where the file could not be read. ReadHeader checks the frame's header
  // alone.
  absl::StatusOr<Frame> ReadHeader(std::int64_t offset, std::int64_t limit);
  absl::StatusOr<Frame> Read(std::int64_t offset, std::int64_t limit);

  // The frame behind `mark`: as above, and DATA_LOSS where its sequence does
  // not follow.
  absl::StatusOr<Frame> ReadHeaderAfter(const Mark& mark, std::int64_t limit);
  absl::StatusOr<Frame> ReadAfter(const Mark& mark, std::int64_t limit);

  absl::Status Damage(std::int64_t offset, absl::string_view reason) const;

 private:
  // The bytes from `offset` on, or fewer where the limit or the file's end is
  // before.
  absl::StatusOr<absl::string_view> Bytes(std::int64_t offset,
                                          std::size_t bytes,
                                          std::int64_t limit);
  absl::Status CheckSequence(const Frame& frame, std::int64_t before) const;

  const File* const file_;
  const std::uint32_t seed_;
  const std::size_t block_bytes_;
  std::string buffer_;
  std::int64_t buffer_offset_ = 0;
  std::uint32_t payload_checksum_ = 0;  // as the header read last has it
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_JOURNAL_FORMAT_H_
