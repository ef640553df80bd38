#include "journal/format.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/status_macros.h"

namespace containerbuilder::service {
namespace {

constexpr std::uint16_t kMajorVersion = 1;
constexpr std::uint16_t kMinorVersion = 0;
constexpr std::uint8_t kLastFlag = 1;

template <typename Number>
void Append(std::string& out, Number number) {
  for (std::size_t byte = 0; byte < sizeof(Number); ++byte) {
    out.push_back(
        static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * byte)));
  }
}

template <typename Number>
Number NumberAt(absl::string_view bytes, std::size_t offset) {
  std::uint64_t number = 0;
  for (std::size_t byte = 0; byte < sizeof(Number); ++byte) {
    number |= static_cast<std::uint64_t>(
                  static_cast<unsigned char>(bytes[offset + byte]))
              << (8 * byte);
  }
  return static_cast<Number>(number);
}

// Of something that stands at `offset`.
std::uint32_t PlacedChecksum(std::uint32_t seed, std::int64_t offset,
                             absl::string_view bytes) {
  std::string place;
  Append(place, offset);
  return ExtendCrc32c(ExtendCrc32c(seed, place), bytes);
}

}  // namespace

std::uint32_t ChecksumSeed(absl::string_view build_name) {
  return ExtendCrc32c(0, build_name);
}

std::string EncodeFileHeader(absl::string_view magic, std::uint32_t seed) {
  std::string header(magic);
  Append(header, kMajorVersion);
  Append(header, kMinorVersion);
  Append(header, ExtendCrc32c(seed, header));
  return header;
}

absl::Status CheckFileHeader(const File& file, absl::string_view magic,
                             std::uint32_t seed) {
  char bytes[kFileHeaderBytes];
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::size_t got,
                                    file.ReadAt(0, bytes, sizeof(bytes)));
  const absl::string_view header(bytes, got);
  if (got < kFileHeaderBytes ||
      header.substr(0, kJournalMagic.size()) != magic ||
      NumberAt<std::uint32_t>(header, 12) !=
          ExtendCrc32c(seed, header.substr(0, 12))) {
    return absl::DataLossError(absl::StrCat(
        file.name(), ": byte 0: this is not the beginning of that file"));
  }
  const auto major = NumberAt<std::uint16_t>(header, 8);
  if (major != kMajorVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        file.name(), " was written by another version of the service (format ",
        major, "; this one reads ", kMajorVersion, ")"));
  }
  return absl::OkStatus();
}

std::string EncodeFrame(std::uint32_t seed, std::int64_t offset, FrameType type,
                        bool last, std::int64_t sequence,
                        absl::string_view payload) {
  std::string frame;
  frame.reserve(kFrameHeaderBytes + payload.size());
  Append(frame, static_cast<std::uint32_t>(payload.size()));
  Append(frame, static_cast<std::uint8_t>(type));
  Append(frame, static_cast<std::uint8_t>(last ? kLastFlag : 0));
  Append(frame, std::uint16_t{0});
  Append(frame, sequence);
  Append(frame, ExtendCrc32c(seed, payload));
  Append(frame, PlacedChecksum(seed, offset, frame));
  frame.append(payload.data(), payload.size());
  return frame;
}

std::string EncodeMark(std::uint32_t seed, std::int64_t offset,
                       const Mark& mark) {
  std::string bytes;
  Append(bytes, mark.offset);
  Append(bytes, mark.sequence);
  Append(bytes, mark.frame_bytes);
  Append(bytes, PlacedChecksum(seed, offset, bytes));
  return bytes;
}

bool DecodeMark(std::uint32_t seed, std::int64_t offset,
                absl::string_view bytes, Mark& mark) {
  if (bytes.size() != kMarkBytes ||
      NumberAt<std::uint32_t>(bytes, 20) !=
          PlacedChecksum(seed, offset, bytes.substr(0, 20))) {
    return false;
  }
  mark.offset = NumberAt<std::int64_t>(bytes, 0);
  mark.sequence = NumberAt<std::int64_t>(bytes, 8);
  mark.frame_bytes = NumberAt<std::uint32_t>(bytes, 16);
  // Nobody writes others; so nobody has to think of them.
  return mark.sequence >= 0 && mark.frame_bytes >= kFrameHeaderBytes &&
         mark.offset >= std::int64_t{kFileHeaderBytes} + mark.frame_bytes;
}

absl::Status FrameReader::Damage(std::int64_t offset,
                                 absl::string_view reason) const {
  return absl::DataLossError(
      absl::StrCat(file_->name(), ": byte ", offset, ": ", reason));
}

absl::StatusOr<absl::string_view> FrameReader::Bytes(std::int64_t offset,
                                                     std::size_t bytes,
                                                     std::int64_t limit) {
  bytes = static_cast<std::size_t>(
      std::clamp<std::int64_t>(limit - offset, 0, std::int64_t(bytes)));
  const std::int64_t skipped = offset - buffer_offset_;
  if (skipped < 0 || skipped + std::int64_t(bytes) >
                         static_cast<std::int64_t>(buffer_.size())) {
    const auto wanted = static_cast<std::size_t>(std::clamp<std::int64_t>(
        limit - offset, 0, std::int64_t(std::max(bytes, block_bytes_))));
    buffer_.resize(wanted);
    buffer_offset_ = offset;
    absl::StatusOr<std::size_t> got =
        file_->ReadAt(offset, buffer_.data(), wanted);
    buffer_.resize(got.ok() ? *got : 0);
    if (!got.ok()) return std::move(got).status();
    return absl::string_view(buffer_).substr(0, bytes);
  }
  return absl::string_view(buffer_).substr(static_cast<std::size_t>(skipped),
                                           bytes);
}

absl::StatusOr<FrameReader::Frame> FrameReader::ReadHeader(std::int64_t offset,
                                                           std::int64_t limit) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const absl::string_view header,
                                    Bytes(offset, kFrameHeaderBytes, limit));
  if (header.size() < kFrameHeaderBytes) {
    return Damage(offset, header.empty() ? "the file ends here"
                                         : "the file ends within a record");
  }
  if (NumberAt<std::uint32_t>(header, 20) !=
      PlacedChecksum(seed_, offset, header.substr(0, 20))) {
    return Damage(offset, "no record of this build begins here");
  }
  const auto length = NumberAt<std::uint32_t>(header, 0);
  if (length > limits::kMaxJournalPayloadBytes) {
    return Damage(offset, "a record is longer than any");
  }
  Frame frame;
  frame.type = NumberAt<std::uint8_t>(header, 4);
  frame.last = frame.Is(FrameType::kEvent) &&
               (NumberAt<std::uint8_t>(header, 5) & kLastFlag) != 0;
  frame.sequence = NumberAt<std::int64_t>(header, 8);
  frame.begin = offset;
  frame.end = offset + std::int64_t{kFrameHeaderBytes} + length;
  payload_checksum_ = NumberAt<std::uint32_t>(header, 16);
  if (frame.end > limit) return Damage(offset, "the file ends within a record");
  return frame;
}

absl::StatusOr<FrameReader::Frame> FrameReader::Read(std::int64_t offset,
                                                     std::int64_t limit) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(Frame frame, ReadHeader(offset, limit));
  const std::int64_t begin = offset + std::int64_t{kFrameHeaderBytes};
  const auto length = static_cast<std::size_t>(frame.end - begin);
  CONTAINERBUILDER_ASSIGN_OR_RETURN(frame.payload, Bytes(begin, length, limit));
  if (frame.payload.size() < length) {
    return Damage(offset, "the file ends within a record");
  }
  if (payload_checksum_ != ExtendCrc32c(seed_, frame.payload)) {
    return Damage(offset, "a record is not what was written");
  }
  return frame;
}

absl::Status FrameReader::CheckSequence(const Frame& frame,
                                        std::int64_t before) const {
  const std::int64_t due = frame.Is(FrameType::kEvent) ? before + 1 : before;
  if (frame.sequence == due) return absl::OkStatus();
  return Damage(frame.begin,
                absl::StrCat("a record has sequence ", frame.sequence,
                             " in place of ", due));
}

absl::StatusOr<FrameReader::Frame> FrameReader::ReadHeaderAfter(
    const Mark& mark, std::int64_t limit) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(Frame frame,
                                    ReadHeader(mark.offset, limit));
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckSequence(frame, mark.sequence));
  return frame;
}

absl::StatusOr<FrameReader::Frame> FrameReader::ReadAfter(const Mark& mark,
                                                          std::int64_t limit) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(Frame frame, Read(mark.offset, limit));
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckSequence(frame, mark.sequence));
  return frame;
}

}  // namespace containerbuilder::service
