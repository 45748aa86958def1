#include "proxy/intercept/matcher.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace nono::intercept {

namespace {

constexpr std::size_t worthy_part = 64;  // bytes

}  // namespace

Matcher Matcher::build(std::vector<Pair> pairs) {
  // Longest first, so that of two needles beginning at one place the longer is replaced.
  std::sort(pairs.begin(), pairs.end(),
            [](const Pair& a, const Pair& b) { return a.needle.size() > b.needle.size(); });
  Matcher matcher;
  std::string all;
  std::size_t total = 0;
  for (const Pair& pair : pairs) total += pair.needle.size();
  all.reserve(total);  // no copy is left behind by growing
  for (Pair& pair : pairs) {
    const bool repeated =
        std::any_of(matcher.entries_.begin(), matcher.entries_.end(), [&](const Entry& entry) {
          return std::string_view(all).substr(entry.begin, entry.size) == pair.needle;
        });
    if (!repeated && pair.needle.size() >= 2) {
      matcher.entries_.push_back(
          Entry{all.size(), pair.needle.size(), std::move(pair.replacement)});
      all += pair.needle;
    }
    wipe(pair.needle.data(), pair.needle.size());
  }
  matcher.needles_ = Secret(all);
  wipe(all.data(), all.size());
  if (matcher.entries_.empty()) return matcher;

  matcher.shortest_ = matcher.entries_.back().size;
  const std::size_t far =
      std::min<std::size_t>(matcher.shortest_ - 1, std::numeric_limits<std::uint16_t>::max());
  matcher.shift_.assign(buckets, static_cast<std::uint16_t>(far));
  for (const Entry& entry : matcher.entries_) {
    const std::string_view text = matcher.needle(entry);
    matcher.begins_[static_cast<unsigned char>(text.front())] = true;
    for (std::size_t i = 0; i + 1 < matcher.shortest_; ++i) {
      std::uint16_t& shift = matcher.shift_[bucket(text[i], text[i + 1])];
      const std::size_t to_end = matcher.shortest_ - 2 - i;
      if (to_end < shift) shift = static_cast<std::uint16_t>(to_end);
    }
  }
  return matcher;
}

Matcher::Found Matcher::match_at(std::string_view rest, bool last, const Entry*& entry) const {
  for (const Entry& candidate : entries_) {
    const std::size_t size = std::min(candidate.size, rest.size());
    if (size < candidate.size && last) continue;
    if (std::memcmp(needle(candidate).data(), rest.data(), size) != 0) continue;
    entry = &candidate;
    return size == candidate.size ? Found::whole : Found::maybe;
  }
  return Found::nothing;
}

std::size_t Matcher::find_beginning(std::string_view text, std::size_t from) const {
  for (std::size_t at = from; at < text.size(); ++at) {
    if (!begins_[static_cast<unsigned char>(text[at])]) continue;
    const Entry* entry = nullptr;
    if (match_at(text.substr(at), false, entry) == Found::maybe) return at;
  }
  return text.size();
}

// Goes on by what the pair that ends the shortest needle says. False: one may begin at `at`.
bool Matcher::steps(std::string_view text, bool last, std::size_t& at) const {
  const std::size_t pair = at + shortest_ - 2;
  const std::size_t shift = shift_[bucket(text[pair], text[pair + 1])];
  const Entry* entry = nullptr;
  if (shift == 0 && match_at(text.substr(at), last, entry) != Found::nothing) return false;
  at += std::max<std::size_t>(shift, 1);
  return true;
}

// Each step waits for two reads of memory, so a long text is gone through at several places at
// once, until one of them is through with its part.
bool Matcher::passes_parts(std::string_view text, bool last, Places& at, std::size_t part) const {
  const std::uint16_t* const shifts = shift_.data();
  const char* const pairs = text.data() + shortest_ - 2;
  for (std::size_t lane = 0; lane < lanes; ++lane) at[lane] = lane * part;
  while (true) {
    bool stops = false;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const char* const pair = pairs + at[lane];
      const std::size_t shift = shifts[bucket(pair[0], pair[1])];
      at[lane] += shift;
      stops |= (shift == 0) | (at[lane] >= (lane + 1) * part);
    }
    if (!stops) continue;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      if (at[lane] >= (lane + 1) * part) return true;
    }
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      if (!steps(text, last, at[lane])) return false;
    }
  }
}

bool Matcher::passes(std::string_view text, bool last) const {
  if (entries_.empty()) return true;
  const std::size_t end = text.size() < shortest_ ? 0 : text.size() - shortest_ + 1;
  std::size_t part = end / lanes;
  if (part < worthy_part) part = 0;  // the last place has it all
  Places at{};
  if (part > 0 && !passes_parts(text, last, at, part)) return false;
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const std::size_t part_end = lane + 1 < lanes ? (lane + 1) * part : end;
    while (at[lane] < part_end) {
      if (!steps(text, last, at[lane])) return false;
    }
  }
  return last || find_beginning(text, at.back()) == text.size();
}

bool Matcher::finds(std::string_view text) const {
  return !passes(text, true);
}

std::size_t Matcher::replace(std::string_view in, bool last, std::string& out) const {
  if (entries_.empty()) {
    out.append(in);
    return 0;
  }
  std::size_t at = 0, copied = 0;
  while (at + shortest_ <= in.size()) {
    const std::size_t pair = at + shortest_ - 2;
    const std::size_t shift = shift_[bucket(in[pair], in[pair + 1])];
    if (shift != 0) {
      at += shift;
      continue;
    }
    const Entry* entry = nullptr;
    const Found found = match_at(in.substr(at), last, entry);
    if (found == Found::nothing) {
      ++at;
      continue;
    }
    out.append(in.substr(copied, at - copied));
    if (found == Found::maybe) return in.size() - at;
    out.append(entry->replacement);
    if (found_ != nullptr) found_->fetch_add(1, std::memory_order_relaxed);
    at += entry->size;
    copied = at;
  }
  // Fewer bytes than the shortest needle are left from here on: one may only begin in them.
  at = last ? in.size() : find_beginning(in, at);
  out.append(in.substr(copied, at - copied));
  return in.size() - at;
}

}  // namespace nono::intercept
