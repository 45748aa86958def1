#pragma once
// Readiness: what a socket is known to be ready for, and who waits for more of it.
//
// Asio tries an operation before it waits for it, and forgets what it learnt: each message of a
// conversation costs it a receive that finds nothing. Here a socket is watched from when it is
// taken over until it is closed, edge by edge (epoll(7), EPOLLET), and remembered to be dry once a
// receive brought less than it asked for. Nobody asks it again before the kernel tells of more.

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/execution_context.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "config/base/fd.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/frame_pool.hpp"

namespace nono {

// Who waits for a socket. Must live until one of the two was called, once.
class Waiter {
 public:
  // The socket is ready; or, with `operation_aborted`, it was closed or the wait called off. From
  // the context's loop, never from within what asked for it.
  virtual void ready(const ErrorCodeSys& code) = 0;
  // The context is being destroyed, and ready() will not be called.
  virtual void drop() noexcept {}
  virtual ~Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 protected:
  Waiter() = default;

 private:
  friend class Poller;
  friend class Readiness;
  Waiter* next_ = nullptr;  // who waits for the same
};

class Readiness;

// What watches all sockets of an io_context: one epoll instance, itself watched by Asio, so that
// timers and everything else of Asio's go on beside it. Made by net::use_service<Poller>(). On the
// context's thread only. Throws where the process may have no more descriptors.
class Poller final : public net::execution_context::service {
 public:
  static inline net::execution_context::id id;  // as Asio knows a service
  explicit Poller(net::execution_context& context);

  // The name by which the kernel tells of `who`, 0 where it cannot be watched (errno says why).
  std::uint64_t add(int fd, Readiness& who);
  void remove(std::uint64_t name) noexcept;

  Executor executor() { return descriptor_.get_executor(); }
  // How many waits there are; with none, the context may run out of work.
  void waits_more();
  void waits_less();
  // Calls `waiter` once everybody has been called whom the look under way tells something; from the
  // context's queue where there is none. Nothing calls that off.
  void in_turn(Waiter& waiter);
  // Which look is the last one that was had.
  std::uint32_t last_look() const { return looks_; }
  // Whether that told of all there was, and somebody has waited ever since: while nobody does,
  // nobody looks.
  bool knows_all() const { return waits_ > 0 && told_all_; }

 private:
  // A closed socket's events may still come, of this round or where somebody else holds the same
  // socket open: they carry an old number, and are nobody's.
  struct Place {
    Readiness* who = nullptr;
    std::uint32_t number = 0;
  };
  void shutdown() override;
  void watch();
  void look();
  void run_turns();
  Readiness* find(std::uint64_t name) const noexcept;

  StreamDescriptor descriptor_;  // the epoll instance
  std::vector<Place> places_;
  std::vector<std::uint32_t> free_;
  Waiter* turns_ = nullptr;  // who waits for the end of this look, the first one first
  Waiter** last_turn_ = &turns_;
  std::size_t waits_ = 0;
  std::uint32_t looks_ = 0;
  bool watching_ = false;
  bool looking_ = false;
  bool told_all_ = false;
};

// One socket's. Not to be moved: the poller knows it by its address. It ends before the socket is
// closed.
class Readiness {
 public:
  // `fd` is a non-blocking socket. A fresh one is taken to be dry and to have room: what has
  // arrived already is told of in the next round.
  Readiness(Poller& poller, int fd);
  ~Readiness() { close(); }
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  bool readable() const { return (flags_ & can_read) != 0; }
  // A receive found nothing (EAGAIN).
  void is_dry() { flags_ &= static_cast<std::uint8_t>(~can_read); }
  // A receive got `got` of `asked` bytes. Less is all there was, for TCP (on Unix sockets it may be
  // what came with descriptors). After the peer's end or an error there is always something to be
  // read: that. And a receive stops in front of urgent data, whatever is behind it.
  void received(std::size_t got, std::size_t asked) {
    if (got < asked && (flags_ & (ended | asks_again | urgent)) == 0) is_dry();
    received_at_ = poller_.last_look();
  }
  // Whether the kernel has been looked to since the last receive: what is known may be of before
  // otherwise.
  bool is_current() const { return poller_.knows_all() && poller_.last_look() != received_at_; }
  // The next receive tries, whatever is known.
  void may_be_readable() { flags_ |= can_read; }
  void is_no_tcp() { flags_ |= asks_again; }
  // Why it cannot be watched: every wait ends with that.
  const ErrorCodeSys& failure() const { return failure_; }
  // Whether there was urgent data (RFC 6093), which splice(2) does not get past.
  bool had_urgent() const { return (flags_ & urgent) != 0; }
  // A send found no room.
  void is_full() { flags_ &= static_cast<std::uint8_t>(~can_write); }

  // Where it is ready already, that is told in its turn.
  void await_read(Waiter& waiter) { await(readers_, waiter, readable()); }
  void await_write(Waiter& waiter) { await(writers_, waiter, (flags_ & can_write) != 0); }
  // The wait ends with `operation_aborted`, unless it has ended.
  void call_off(Waiter& waiter);
  void call_off_reads();
  bool writer_waits() const { return writers_ != nullptr; }
  // Ends all waits likewise, and is no longer watched.
  void close() noexcept;

 private:
  friend class Poller;
  static constexpr std::uint8_t can_read = 1, can_write = 2, ended = 4, asks_again = 8, urgent = 16;
  void await(Waiter*& list, Waiter& waiter, bool at_once);
  void happened(std::uint32_t events);
  void drop_waits() noexcept;
  // Takes the first out of a list of waiters.
  Waiter* take(Waiter*& list);
  // Tells `waiter` from the context's queue.
  void tell_later(Waiter& waiter, const ErrorCodeSys& code);

  Poller& poller_;
  Waiter* readers_ = nullptr;
  Waiter* writers_ = nullptr;
  std::uint64_t name_;
  std::uint32_t received_at_ = poller_.last_look();  // or made
  ErrorCodeSys failure_;                             // where it cannot be watched
  std::uint8_t flags_ = can_write;
};

// A coroutine's wait: made where it suspends, and gone when it goes on.
template <class Handler>
class Suspended final : public Waiter, public Pooled {
 public:
  Suspended(Readiness& readiness, Handler handler)
      : readiness_(readiness), handler_(std::move(handler)) {
    auto slot = net::get_associated_cancellation_slot(handler_);
    if (slot.is_connected()) {
      slot.assign([this](net::cancellation_type) { readiness_.call_off(*this); });
    }
  }
  void ready(const ErrorCodeSys& code) override {
    net::get_associated_cancellation_slot(handler_).clear();
    Handler handler(std::move(handler_));
    delete this;
    std::move(handler)(code);
  }
  void drop() noexcept override { delete this; }

 private:
  Readiness& readiness_;
  Handler handler_;
};

}  // namespace nono
