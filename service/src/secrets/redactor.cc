#include "secrets/redactor.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace containerbuilder::service {
namespace {

constexpr absl::string_view kMask = "***";

std::uint64_t BranchKey(PatternSet::Node node, unsigned char byte) {
  return (std::uint64_t{node} << 8) | byte;
}

}  // namespace

PatternSet::PatternSet(const std::vector<std::string>& patterns) {
  std::size_t most = 1;
  for (const std::string& pattern : patterns) most += pattern.size();
  // Growing would take as much again.
  labels_.reserve(most);
  depths_.reserve(most);
  matches_.reserve(most);
  std::vector<Node> parents = {0};
  parents.reserve(most);
  for (const std::string& pattern : patterns) Add(pattern, parents);
  LinkSuffixes(parents);
}

void PatternSet::Add(const std::string& pattern, std::vector<Node>& parents) {
  Node node = 0;
  for (const char c : pattern) {
    const auto byte = static_cast<unsigned char>(c);
    Node child = Child(node, byte);
    if (child == 0) {
      child = static_cast<Node>(labels_.size());
      if (node == 0) {
        first_[byte] = child;
      } else if (child != node + 1) {
        branches_[BranchKey(node, byte)] = child;
        has_branch_[node] = true;
      }
      labels_.push_back(byte);
      depths_.push_back(depths_[node] + 1);
      matches_.push_back(0);
      parents.push_back(node);
      follows_parent_.push_back(node != 0 && child == node + 1);
      has_branch_.push_back(false);
    }
    node = child;
  }
  matches_[node] = depths_[node];
}

void PatternSet::LinkSuffixes(const std::vector<Node>& parents) {
  suffixes_.assign(labels_.size(), 0);
  // A suffix is shorter than what it ends, and so is linked before it. Sorted
  // by counting: first how many nodes are less deep, then each to its place.
  const std::size_t deepest = *std::max_element(depths_.begin(), depths_.end());
  std::vector<std::size_t> places(deepest + 2);
  for (const std::uint32_t depth : depths_) ++places[depth + 1];
  std::partial_sum(places.begin(), places.end(), places.begin());
  std::vector<Node> by_depth(labels_.size());
  for (Node node = 0; node < labels_.size(); ++node) {
    by_depth[places[depths_[node]]++] = node;
  }
  for (const Node node : by_depth) {
    if (depths_[node] < 2) continue;
    suffixes_[node] = Next(suffixes_[parents[node]], labels_[node]);
    matches_[node] = std::max(matches_[node], matches_[suffixes_[node]]);
  }
}

PatternSet::Node PatternSet::Child(Node node, unsigned char byte) const {
  if (node == 0) return first_[byte];
  const Node next = node + 1;
  if (next < labels_.size() && follows_parent_[next] && labels_[next] == byte) {
    return next;
  }
  if (!has_branch_[node]) return 0;
  const auto branch = branches_.find(BranchKey(node, byte));
  return branch == branches_.end() ? 0 : branch->second;
}

PatternSet::Node PatternSet::Next(Node node, unsigned char byte) const {
  while (true) {
    const Node child = Child(node, byte);
    if (child != 0 || node == 0) return child;
    node = suffixes_[node];
  }
}

std::size_t PatternSet::OpenLength(Node node) const {
  while (node != 0) {
    const Node next = node + 1;
    const bool has_child =
        has_branch_[node] || (next < labels_.size() && follows_parent_[next]);
    if (has_child) break;
    node = suffixes_[node];
  }
  return depths_[node];
}

std::string Redactor::Feed(absl::string_view data) {
  std::size_t end = held_.size();
  held_.append(data.data(), data.size());
  for (const char c : data) {
    node_ = patterns_->Next(node_, static_cast<unsigned char>(c));
    ++end;
    const std::size_t length = patterns_->MatchLength(node_);
    if (length == 0) continue;
    Range found = {end - length, end};
    while (!hidden_.empty() && hidden_.back().end >= found.begin) {
      found.begin = std::min(found.begin, hidden_.back().begin);
      hidden_.pop_back();
    }
    hidden_.push_back(found);
  }
  return Show(held_.size() - patterns_->OpenLength(node_));
}

std::string Redactor::Finish() {
  node_ = 0;
  return Show(held_.size());
}

std::string Redactor::Show(std::size_t size) {
  std::string shown;
  std::size_t begin = 0;
  std::vector<Range> rest;
  for (const Range& hidden : hidden_) {
    if (hidden.begin >= size) {
      rest.push_back({hidden.begin - size, hidden.end - size});
      continue;
    }
    absl::StrAppend(
        &shown, absl::string_view(held_).substr(begin, hidden.begin - begin));
    if (hidden.begin > 0 || !shown_mask_) absl::StrAppend(&shown, kMask);
    begin = std::min(hidden.end, size);
    if (hidden.end > size) rest.push_back({0, hidden.end - size});
  }
  absl::StrAppend(&shown, absl::string_view(held_).substr(begin, size - begin));
  if (size > 0) {
    shown_mask_ = begin == size;
  }
  held_.erase(0, size);
  hidden_ = std::move(rest);
  return shown;
}

}  // namespace containerbuilder::service
