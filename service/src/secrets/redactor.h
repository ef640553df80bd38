#ifndef CONTAINERBUILDER_SECRETS_REDACTOR_H_
#define CONTAINERBUILDER_SECRETS_REDACTOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// Byte strings that are to be found in streams, all in one pass: the automaton
// of Aho and Corasick. A secret may have half a mebibyte, and so may the
// pattern; a node takes about 14 bytes of memory, and 9 more while the set is
// made, because a chain of nodes with one child each is stored without links.
// Does not change once made: any number of streams, on any threads, may use it.
class PatternSet {
 public:
  // How far a stream has come: the longest of its suffixes that begins a
  // pattern. A stream begins at 0.
  using Node = std::uint32_t;

  // Empty patterns are left out.
  explicit PatternSet(const std::vector<std::string>& patterns);

  // Nodes: one for each byte of the patterns, but for beginnings that they
  // share, and one more.
  std::size_t size() const { return labels_.size(); }

  // The node after one more byte.
  Node Next(Node node, unsigned char byte) const;

  // The length of the longest pattern that ends here; 0: none does.
  std::size_t MatchLength(Node node) const { return matches_[node]; }

  // The length of the longest suffix that more bytes can make a pattern.
  std::size_t OpenLength(Node node) const;

 private:
  // `parents` are those of the nodes.
  void Add(const std::string& pattern, std::vector<Node>& parents);
  void LinkSuffixes(const std::vector<Node>& parents);
  // 0: there is none.
  Node Child(Node node, unsigned char byte) const;

  // By node. The root is 0; a node that is appended right behind its parent
  // needs no entry in branches_.
  std::vector<unsigned char> labels_ = {0};
  std::vector<std::uint32_t> depths_ = {0};
  std::vector<std::uint32_t> matches_ = {0};
  std::vector<Node> suffixes_ = {0};
  std::vector<bool> follows_parent_ = {false};  // is right behind it
  std::vector<bool> has_branch_ = {false};
  std::array<Node, 256> first_ = {};
  absl::flat_hash_map<std::uint64_t, Node> branches_;
};

// Puts `***` where one stream has a pattern, however the stream is cut. Runs
// of bytes that belong to patterns which overlap or touch become one `***`.
class Redactor {
 public:
  explicit Redactor(std::shared_ptr<const PatternSet> patterns)
      : patterns_(std::move(patterns)) {}

  // What may be shown after these bytes came; nothing is held back but the
  // longest suffix that may still become a pattern.
  std::string Feed(absl::string_view data);

  // The stream has ended: what was held back.
  std::string Finish();

 private:
  // In held_.
  struct Range {
    std::size_t begin;
    std::size_t end;
  };

  // Shows the first `size` bytes of held_.
  std::string Show(std::size_t size);

  const std::shared_ptr<const PatternSet> patterns_;
  PatternSet::Node node_ = 0;
  std::string held_;
  std::vector<Range> hidden_;  // ordered, with gaps between them
  bool shown_mask_ = false;    // the last byte before held_ was hidden
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SECRETS_REDACTOR_H_
