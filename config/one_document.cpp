#include "config/one_document.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

namespace nono::document {
namespace {

// Counts what a tree would be built of. Throwing is how a handler ends yaml-cpp's reading.
class Counter final : public YAML::EventHandler {
 public:
  explicit Counter(std::size_t nodes_max) : nodes_max_(nodes_max) {}
  YAML::Mark begin() const { return begin_; }

  void OnDocumentStart(const YAML::Mark& mark) override { begin_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { count(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { count(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                const std::string&) override {
    count(mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    count(mark);
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    count(mark);
  }
  void OnMapEnd() override {}

 private:
  void count(const YAML::Mark& mark) {
    if (++nodes_ > nodes_max_) throw YAML::ParserException(mark, "the file holds too much");
  }

  std::size_t nodes_max_;
  std::size_t nodes_ = 0;
  YAML::Mark begin_;
};

}  // namespace

std::optional<std::string> not_one_document(const std::string& yaml, std::size_t nodes_max) {
  std::istringstream text(yaml);
  YAML::Parser parser(text);
  Counter counter(nodes_max);
  if (!parser.HandleNextDocument(counter)) return "1:1: expected one document, found none";
  // A second document, or what yaml-cpp takes for one since it belongs to nothing. It is not asked
  // for a third: that need not end.
  if (!parser.HandleNextDocument(counter)) return std::nullopt;
  return fmt::format("{}:{}: expected one document, but what stands here is not part of it",
                     counter.begin().line + 1, counter.begin().column + 1);
}

}  // namespace nono::document
