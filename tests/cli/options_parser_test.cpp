// Our own of the parser: options that are set aside are still options, and names stay unique.

#include "proxy/cli/options_parser.hpp"

#include <catch2/catch.hpp>

using namespace nono;
using namespace nono::cli;

TEST_CASE("options that were set aside are parsed like the others") {
  const auto app = make_app("test", "", "", "");
  bool first = false, second = false;
  app->add_flag("-f,--first", first);
  app->set_aside();
  app->add_flag("--second", second);
  std::vector<std::string> rest;
  CHECK_FALSE(parse(*app, {"-f", "--second", "word"}, rest));
  CHECK(first);
  CHECK(second);
  CHECK(rest == std::vector<std::string>{"word"});
  CHECK(std::get<UsageError>(CommandLine(unknown_word(*app, "--firts"))).message.find("--first") !=
        std::string::npos);
}

TEST_CASE("a name that is given twice is noticed, however far apart") {
  for (const char* name : {"--other,--same", "-s,--third"}) {
    const auto app = make_app("test", "", "", "");
    bool one = false, two = false;
    app->add_flag("-s,--same", one);
    app->set_aside();
    app->set_aside();
    app->add_flag(name, two);
    CHECK_THROWS_AS(app->take_back(), CLI::OptionAlreadyAdded);
  }
}
