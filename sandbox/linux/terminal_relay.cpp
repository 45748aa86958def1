#include "sandbox/linux/terminal_relay.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace nono::sandbox {
namespace {

constexpr int last_words_ms = 1000;

}  // namespace

TerminalRelay::TerminalRelay(OuterTerminal outer, UniqueFd master, bool foreground)
    : outer_(std::move(outer)), master_(std::move(master)), keys_wanted_(foreground) {
  if (foreground && is_foreground()) return;
  // What is only written passes through the output processing of the user's terminal, so it gets
  // none in this one.
  termios settings = {};
  if (::tcgetattr(master_.get(), &settings) != 0) return;
  settings.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  processes_output_ = ::tcsetattr(master_.get(), TCSANOW, &settings) != 0;
}

void TerminalRelay::start() {
  started_ = true;
  take_keys();
}

void TerminalRelay::want_input() {
  keys_wanted_ = true;
  take_keys();
}

bool TerminalRelay::waits_for_foreground() const {
  return started_ && keys_wanted_ && !suspended_ && !hung_up_ && !before_;
}

void TerminalRelay::resume() {
  suspended_ = false;
  take_size();
  take_keys();
}

// Without job control (not our controlling terminal) nobody else is in the foreground.
bool TerminalRelay::is_foreground() const {
  pid_t group = ::tcgetpgrp(outer_.in.get());
  return group == ::getpgrp() || (group < 0 && errno == ENOTTY);
}

// The launcher has all signals blocked, so that it could do this in the background too: hence the
// question.
void TerminalRelay::take_keys() {
  if (before_ || suspended_ || !started_ || !keys_wanted_ || hung_up_ || !is_foreground()) return;
  termios now = {};
  if (::tcgetattr(outer_.in.get(), &now) != 0) return;
  termios raw = now;
  ::cfmakeraw(&raw);
  if (::tcsetattr(outer_.in.get(), TCSANOW, &raw) == 0) before_ = now;
  termios settings = {};
  if (!processes_output_ && ::tcgetattr(master_.get(), &settings) == 0) {
    settings.c_oflag |= OPOST;
    ::tcsetattr(master_.get(), TCSANOW, &settings);
  }
  processes_output_ = true;
}

void TerminalRelay::give_back() {
  if (before_) ::tcsetattr(outer_.in.get(), TCSANOW, &*before_);
  before_.reset();
  suspended_ = true;
}

// The kernel tells the command's foreground group where the size is another one.
void TerminalRelay::take_size() {
  winsize size = {};
  if (::ioctl(outer_.out.get(), TIOCGWINSZ, &size) == 0) ::ioctl(master_.get(), TIOCSWINSZ, &size);
}

void TerminalRelay::add_polls(std::vector<pollfd>& polls) const {
  short master = 0;
  if (out_.empty()) master |= POLLIN;
  if (!in_.empty()) master |= POLLOUT;
  bool reads = before_ && in_.empty();
  polls.push_back({hung_up_ ? -1 : outer_.in.get(), static_cast<short>(reads ? POLLIN : 0), 0});
  polls.push_back({out_.empty() ? -1 : outer_.out.get(), POLLOUT, 0});
  polls.push_back({master == 0 || !master_ ? -1 : master_.get(), master, 0});
}

TerminalRelay::Io TerminalRelay::fill(int from, Buffer& buffer) {
  ssize_t size = ::read(from, buffer.bytes.data(), buffer.bytes.size());
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Io::later;
  if (size <= 0) return Io::over;
  buffer.begin = 0;
  buffer.end = static_cast<std::size_t>(size);
  return Io::moved;
}

TerminalRelay::Io TerminalRelay::drain(int to, Buffer& buffer) {
  ssize_t size = ::write(to, buffer.bytes.data() + buffer.begin, buffer.end - buffer.begin);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Io::later;
  if (size < 0) {
    buffer.begin = buffer.end;  // nobody to bring it to
    return Io::over;
  }
  buffer.begin += static_cast<std::size_t>(size);
  return Io::moved;
}

void TerminalRelay::step(std::span<const pollfd> polls) {
  const pollfd& keys = polls[0];
  if (!hung_up_ && (keys.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
    bool over = before_ && in_.empty() && fill(outer_.in.get(), in_) == Io::over;
    // In the background reading is an error too, and then nothing is over.
    hung_up_ = (keys.revents & POLLHUP) != 0 || (over && is_foreground());
    if (hung_up_) {
      before_.reset();
      master_.reset();  // the command gets SIGHUP
      return;
    }
  }
  if (!in_.empty()) drain(master_.get(), in_);
  if (out_.empty() && (polls[2].revents & POLLIN) != 0) fill(master_.get(), out_);
  if (!out_.empty()) drain(outer_.out.get(), out_);
}

void TerminalRelay::finish() {
  while (master_) {
    Io read = out_.empty() ? fill(master_.get(), out_) : Io::moved;
    if (read == Io::over) break;
    // Not to be expected once all of the sandbox has ended, so not waited for without end.
    pollfd more = {master_.get(), POLLIN, 0};
    if (read == Io::later && ::poll(&more, 1, last_words_ms) <= 0) break;
    while (!out_.empty()) {
      pollfd writable = {outer_.out.get(), POLLOUT, 0};
      if (::poll(&writable, 1, -1) > 0) drain(outer_.out.get(), out_);
    }
  }
  give_back();
}

}  // namespace nono::sandbox
