#include "proxy/audit/verify.hpp"

#include <charconv>
#include <string_view>
#include <utility>

#include "proxy/audit/chain.hpp"
#include "proxy/audit/line_reader.hpp"

namespace nono::audit {

namespace {

std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string count_of(std::uint64_t number, std::string_view noun) {
  return std::to_string(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

std::string range(std::uint64_t from, std::uint64_t to) {
  return from == to ? std::to_string(from) : std::to_string(from) + " to " + std::to_string(to);
}

class Verifier {
 public:
  Result<void> read(const std::string& file) {
    Result<LineReader> reader = LineReader::open(file);
    if (!reader) return fail(reader.error());
    file_ = file;
    line_ = 0;
    bool more = true;
    while (more) {
      std::string_view text;
      const LineReader::Step step = reader->next(text);
      switch (step) {
        case LineReader::Step::line:
          ++line_;
          check(text);
          break;
        case LineReader::Step::too_long:
          ++line_;
          problem("is too long to be a line of an audit log");
          break;
        case LineReader::Step::incomplete:
          verdict_.incomplete.push_back(Incomplete{file, text.size(), line_});
          break;
        case LineReader::Step::end:
          more = false;
          break;
        case LineReader::Step::failed:
          return fail(reader->error());
      }
    }
    verdict_.bytes += reader->bytes_read();
    return {};
  }

  Verdict take() {
    if (any_) verdict_.chain = chain_.head();
    return std::move(verdict_);
  }

 private:
  void check(std::string_view text) {
    ++verdict_.lines;
    const std::optional<Line> line = split_line(text);
    if (!line) {
      problem(text.starts_with("{\"seq\":")
                  ? "was changed or cut short: it does not end as a line of an audit log does"
                  : "is no line of an audit log");
      lost_track_ = true;
      return;
    }
    std::uint64_t missing_is_told = 0;
    std::string_view continues;
    const bool note = is_note(line->open);
    if (note) {
      missing_is_told = number_of(plain_field(line->open, "lost"));
      continues = plain_field(line->open, "continues");
    }
    if (!any_) begin_at(*line, continues, missing_is_told);
    check_place(*line, missing_is_told);
    if (chain_.value_of(line->open) != line->chain) explain(*line, continues);
    // From here on as the line itself says, so that each problem is told once.
    chain_.continue_from(line->chain);
    expected_ = line->sequence + 1;
    lost_track_ = false;
    any_ = true;
    verdict_.last_sequence = line->sequence;
    if (note) remark_note(*line, missing_is_told);
  }

  // The first line of all: where the log begins, or where an earlier file left off.
  void begin_at(const Line& line, std::string_view continues, std::uint64_t told) {
    verdict_.first_sequence = line.sequence;
    if (!is_chain_value(continues)) return;
    chain_.continue_from(continues);
    expected_ = line.sequence - std::min(told, line.sequence);
    remark("begins at seq " + std::to_string(line.sequence) +
           "; what came before is in an earlier file, whose last chain value is " +
           std::string(continues));
  }

  void check_place(const Line& line, std::uint64_t told) {
    const std::uint64_t due = expected_ + told;
    misplaced_ = line.sequence != due;
    if (!misplaced_ || (lost_track_ && line.sequence > due)) return;
    if (line.sequence > due) {
      problem("has seq " + std::to_string(line.sequence) + ": " +
              count_of(line.sequence - due, "line") + " (seq " + range(due, line.sequence - 1) +
              ") missing before it");
    } else {
      problem("has seq " + std::to_string(line.sequence) + " where " + std::to_string(due) +
              " is due: it is out of order, repeated or inserted");
    }
  }

  // The chain value does not follow. Where lines are missing or moved that is no second problem,
  // unless the line says itself what it follows and is not that either.
  void explain(const Line& line, std::string_view continues) {
    if (is_chain_value(continues)) {
      const std::string before = chain_.head();
      chain_.continue_from(continues);
      const bool unchanged = chain_.value_of(line.open) == line.chain;
      if (unchanged && !misplaced_ && !lost_track_) {
        problem("continues another log than the file before it, which ends with the chain value " +
                (before.empty() ? "of no line" : before));
      }
      if (unchanged) return;
      problem("was changed: its chain value is not that of its text");
      return;
    }
    if (misplaced_ || lost_track_) return;
    problem("was changed or inserted: its chain value is not that of its text and the line before");
  }

  void remark_note(const Line& line, std::uint64_t lost) {
    const std::uint64_t fragment = number_of(plain_field(line.open, "fragment_bytes"));
    if (fragment > 0) {
      remark("tells of an incomplete line of " + count_of(fragment, "byte") +
             " that was taken from the end of the log when it was opened again");
    }
    if (lost > 0) {
      remark("tells of " + count_of(lost, "record") + " before it that could not be written");
    }
    verdict_.lost += lost;
  }

  void problem(std::string what) {
    ++verdict_.problems_total;
    if (verdict_.problems.size() < Verdict::listed_max) {
      verdict_.problems.push_back(Finding{file_, line_, std::move(what)});
    }
  }
  void remark(std::string what) {
    if (verdict_.remarks.size() < Verdict::listed_max) {
      verdict_.remarks.push_back(Finding{file_, line_, std::move(what)});
    }
  }

  Verdict verdict_;
  Chain chain_;
  std::string file_;
  std::uint64_t line_ = 0;
  std::uint64_t expected_ = 0;
  bool any_ = false;         // a line was read
  bool lost_track_ = false;  // the line before could not be read
  bool misplaced_ = false;
};

}  // namespace

Result<Verdict> verify(const std::vector<std::string>& files) {
  Verifier verifier;
  for (const std::string& file : files) {
    if (Result<void> read = verifier.read(file); !read) return fail(read.error());
  }
  return verifier.take();
}

}  // namespace nono::audit
