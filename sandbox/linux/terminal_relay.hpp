#pragma once
// The launcher's part in the command's terminal: copies between it and the user's, keeps its size,
// and has the user's in raw mode exactly while the command has the keys.

#include <poll.h>
#include <termios.h>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/terminal.hpp"

namespace nono::sandbox {

class TerminalRelay {
 public:
  // `foreground`: the command has the keys from start() on, not only from want_input() on.
  TerminalRelay(OuterTerminal outer, UniqueFd master, bool foreground);
  ~TerminalRelay() { give_back(); }
  TerminalRelay(const TerminalRelay&) = delete;
  TerminalRelay& operator=(const TerminalRelay&) = delete;

  void start();       // the command runs from now on
  void want_input();  // it has asked for the keys
  void give_back();   // the user's terminal as it was: the command has stopped or ended
  void resume();      // this process was continued, or a size changed
  // True where it has to look itself whether the user's terminal is in its hands by now: a shell
  // need not tell a job that it takes to the front.
  bool waits_for_foreground() const;

  static constexpr std::size_t poll_count = 3;
  void add_polls(std::vector<pollfd>& polls) const;
  void step(std::span<const pollfd> polls);  // those that add_polls() added
  // The command has ended: what it wrote is brought out, then the terminal given back.
  void finish();

 private:
  // What is on its way in one direction.
  struct Buffer {
    std::array<char, 16384> bytes;
    std::size_t begin = 0;
    std::size_t end = 0;
    bool empty() const { return begin == end; }
  };
  enum class Io : std::uint8_t { moved, later, over };
  static Io fill(int from, Buffer& buffer);
  static Io drain(int to, Buffer& buffer);

  bool is_foreground() const;
  void take_keys();
  void take_size();

  OuterTerminal outer_;
  UniqueFd master_;
  bool keys_wanted_;
  bool started_ = false;
  bool processes_output_ = true;
  bool suspended_ = false;
  std::optional<termios> before_;  // of the user's terminal, while it is raw
  Buffer in_;
  Buffer out_;
  bool hung_up_ = false;  // the user's terminal is gone
};

}  // namespace nono::sandbox
