#pragma once
// Reads the text exposition format, strictly and knowing nothing of the code that writes it.

#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>

namespace nono::test {

struct Exposition {
  std::map<std::string, std::string> types;  // by family
  std::map<std::string, std::string> help;
  std::map<std::string, std::string> raw;  // by series as written: name{labels}
  std::map<std::string, double> values;    // the same

  double value(const std::string& series) const {
    const auto at = values.find(series);
    if (at == values.end()) throw std::runtime_error("no series " + series);
    return at->second;
  }
  double value_or_zero(const std::string& series) const {
    const auto at = values.find(series);
    return at == values.end() ? 0 : at->second;
  }
  bool has(const std::string& series) const { return values.contains(series); }
};

class ExpositionReader {
 public:
  explicit ExpositionReader(std::string_view text) : text_(text) {}

  // Throws std::runtime_error with the line that is wrong.
  Exposition read() {
    if (!text_.empty() && text_.back() != '\n') complain("the last line does not end");
    while (!text_.empty()) {
      line_ = text_.substr(0, text_.find('\n'));
      text_.remove_prefix(line_.size() + 1);
      if (line_.starts_with("# ")) {
        comment();
      } else {
        sample();
      }
    }
    for (const auto& [family, type] : out_.types) {
      if (type == "histogram") check_histogram(family);
    }
    return out_;
  }

 private:
  [[noreturn]] void complain(const std::string& what) const {
    throw std::runtime_error(what + ": " + std::string(line_));
  }

  static bool name_character(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (!first && c >= '0' && c <= '9');
  }

  std::string name(std::string_view& rest) const {
    std::size_t size = 0;
    while (size < rest.size() && name_character(rest[size], size == 0)) ++size;
    if (size == 0) complain("no name");
    std::string out(rest.substr(0, size));
    rest.remove_prefix(size);
    return out;
  }

  void comment() {
    std::string_view rest = line_.substr(2);
    const std::string word = name(rest);
    if (word != "HELP" && word != "TYPE") complain("unknown comment");
    rest.remove_prefix(1);
    const std::string family = name(rest);
    if (rest.empty() || rest.front() != ' ') complain("no text");
    rest.remove_prefix(1);
    auto& table = word == "HELP" ? out_.help : out_.types;
    if (!table.emplace(family, rest).second) complain("said twice");
    if (finished_.contains(family)) complain("a family in two places");
    if (word == "TYPE" && rest != "counter" && rest != "gauge" && rest != "histogram") {
      complain("unknown type");
    }
    if (family != family_) finished_.insert(family_);
    family_ = family;
  }

  std::string label_value(std::string_view& rest) const {
    std::string out;
    for (std::size_t at = 0; at < rest.size(); ++at) {
      if (rest[at] == '"') {
        rest.remove_prefix(at + 1);
        return out;
      }
      if (rest[at] == '\\') {
        if (++at == rest.size()) complain("nothing behind a backslash");
        if (rest[at] != '\\' && rest[at] != '"' && rest[at] != 'n') complain("unknown escape");
        out += rest[at] == 'n' ? '\n' : rest[at];
      } else {
        out += rest[at];
      }
    }
    complain("a label's value does not end");
  }

  void sample() {
    std::string_view rest = line_;
    const std::string metric = name(rest);
    if (!metric.starts_with(family_)) complain("a sample outside its family");
    const std::string suffix = metric.substr(family_.size());
    const bool histogram = out_.types[family_] == "histogram";
    const bool fits =
        histogram ? suffix == "_bucket" || suffix == "_sum" || suffix == "_count" : suffix.empty();
    if (!fits) complain("a sample outside its family");
    std::set<std::string> labels;
    if (rest.starts_with("{")) {
      rest.remove_prefix(1);
      while (true) {
        const std::string label = name(rest);
        if (label.find(':') != std::string::npos || label.starts_with("__")) complain("label name");
        if (!labels.insert(label).second) complain("a label twice");
        if (!rest.starts_with("=\"")) complain("no value");
        rest.remove_prefix(2);
        label_value(rest);
        if (!rest.starts_with(",")) break;
        rest.remove_prefix(1);
      }
      if (!rest.starts_with("}")) complain("labels do not end");
      rest.remove_prefix(1);
    }
    const std::string series(line_.substr(0, line_.size() - rest.size()));
    if (!rest.starts_with(" ")) complain("no value");
    const std::string number(rest.substr(1));
    std::size_t used = 0;
    const double value = std::stod(number, &used);
    if (used != number.size()) complain("no number");
    if (out_.types[family_] == "counter" && value < 0) complain("a counter below zero");
    if (!out_.values.emplace(series, value).second) complain("a series twice");
    out_.raw.emplace(series, number);
  }

  // Buckets must not fall, and the last must be the count.
  void check_histogram(const std::string& family) const {
    std::map<std::string, double> infinite;
    std::map<std::string, std::map<double, double>> all;
    for (const auto& [series, value] : out_.values) {
      if (!series.starts_with(family + "_bucket{")) continue;
      const std::size_t le = series.find("le=\"");
      const std::string bound = series.substr(le + 4, series.find('"', le + 4) - le - 4);
      std::string others = series.substr(family.size() + 8, le - family.size() - 8);
      if (!others.empty()) others.pop_back();
      if (bound == "+Inf") {
        infinite[others] = value;
      } else {
        all[others][std::stod(bound)] = value;
      }
    }
    for (const auto& [others, total] : infinite) {
      double before = 0;
      for (const auto& [bound, value] : all[others]) {
        if (value < before) throw std::runtime_error("buckets fall: " + family);
        before = value;
      }
      const std::string labels = others.empty() ? "" : "{" + others + "}";
      const auto count = out_.values.find(family + "_count" + labels);
      if (before > total || count == out_.values.end() || count->second != total) {
        throw std::runtime_error("the count is not the last bucket: " + family + labels);
      }
      if (!out_.values.contains(family + "_sum" + labels)) {
        throw std::runtime_error("no sum: " + family);
      }
    }
    if (infinite.empty()) throw std::runtime_error("no +Inf bucket: " + family);
  }

  std::string_view text_, line_;
  std::string family_;
  std::set<std::string> finished_;
  Exposition out_;
};

inline Exposition read_exposition(std::string_view text) {
  return ExpositionReader(text).read();
}

}  // namespace nono::test
