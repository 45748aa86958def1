#include "proxy/net/readiness.hpp"

#include <sys/epoll.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "config/base/on_exit.hpp"

namespace nono {

namespace {

// Of one look. More are told of in the next one, after what else the context has to do.
constexpr std::size_t events_at_once = 64;

// A wait that has ended, on its way through the context's queue.
class Told {
 public:
  Told(Waiter& waiter, const ErrorCodeSys& code) : waiter_(&waiter), code_(code) {}
  Told(Told&& other) noexcept
      : waiter_(std::exchange(other.waiter_, nullptr)), code_(other.code_) {}
  Told& operator=(Told&&) = delete;
  ~Told() {
    if (waiter_ != nullptr) waiter_->drop();
  }
  void operator()() { std::exchange(waiter_, nullptr)->ready(code_); }

 private:
  Waiter* waiter_;
  ErrorCodeSys code_;
};

}  // namespace

Poller::Poller(net::execution_context& context)
    : net::execution_context::service(context),
      descriptor_(static_cast<net::io_context&>(context).get_executor()) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) throw boost::system::system_error(errno, boost::system::system_category(), "epoll");
  descriptor_.assign(epoll.get());
  [[maybe_unused]] const int owned_by_descriptor = epoll.release();
  places_.emplace_back();  // no socket is called 0
}

void Poller::shutdown() {
  // What is dropped here may end sockets, and take their places away.
  for (std::size_t at = 0; at < places_.size(); ++at) {
    if (places_[at].who != nullptr) places_[at].who->drop_waits();
  }
  ErrorCodeSys ignored;
  descriptor_.close(ignored);
}

std::uint64_t Poller::add(int fd, Readiness& who) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.emplace_back();
  }
  const std::uint32_t at = free_.back();
  Place& place = places_[at];
  epoll_event watched{};
  watched.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  watched.data.u64 = std::uint64_t{place.number} << 32U | at;
  if (::epoll_ctl(descriptor_.native_handle(), EPOLL_CTL_ADD, fd, &watched) != 0) return 0;
  free_.pop_back();
  place.who = &who;
  return watched.data.u64;
}

// The kernel forgets the socket when it is closed.
void Poller::remove(std::uint64_t name) noexcept {
  const auto at = static_cast<std::uint32_t>(name);
  places_[at].who = nullptr;
  ++places_[at].number;
  free_.push_back(at);
}

Readiness* Poller::find(std::uint64_t name) const noexcept {
  const Place& place = places_[static_cast<std::uint32_t>(name)];
  return place.number == name >> 32U ? place.who : nullptr;
}

void Poller::waits_more() {
  if (waits_++ == 0 && !looking_) told_all_ = false;
  if (!watching_ && !looking_) watch();
}

void Poller::waits_less() {
  if (--waits_ > 0 || !watching_) return;
  ErrorCodeSys ignored;
  descriptor_.cancel(ignored);
}

void Poller::watch() {
  watching_ = true;
  descriptor_.async_wait(StreamDescriptor::wait_read, [this](const ErrorCodeSys& code) {
    watching_ = false;
    if (!code) look();
    if (waits_ > 0 && !watching_ && descriptor_.is_open()) watch();
  });
}

void Poller::look() {
  std::array<epoll_event, events_at_once> events;
  const int count = ::epoll_wait(descriptor_.native_handle(), events.data(), events.size(), 0);
  looking_ = true;
  ++looks_;
  told_all_ = count >= 0 && count < static_cast<int>(events.size());
  const OnExit looked([this] { looking_ = false; });
  for (int at = 0; at < count; ++at) {
    const epoll_event& event = events[static_cast<std::size_t>(at)];
    if (Readiness* const who = find(event.data.u64)) who->happened(event.events);
  }
  run_turns();
}

void Poller::in_turn(Waiter& waiter) {
  if (!looking_) return net::post(executor(), Told(waiter, {}));
  *last_turn_ = &waiter;
  last_turn_ = &waiter.next_;
}

// Whoever asks for a turn meanwhile gets it from the context's queue.
void Poller::run_turns() {
  Waiter* first = std::exchange(turns_, nullptr);
  last_turn_ = &turns_;
  looking_ = false;
  const auto next = [&first]() -> Waiter& {
    Waiter* const waiter = first;
    first = std::exchange(waiter->next_, nullptr);
    return *waiter;
  };
  const OnExit thrown([&] {
    while (first != nullptr) net::post(executor(), Told(next(), {}));
  });
  while (first != nullptr) next().ready({});
}

Readiness::Readiness(Poller& poller, int fd) : poller_(poller), name_(poller.add(fd, *this)) {
  if (name_ == 0) failure_.assign(errno, boost::system::system_category());
}

void Readiness::tell_later(Waiter& waiter, const ErrorCodeSys& code) {
  net::post(poller_.executor(), Told(waiter, code));
}

void Readiness::await(Waiter*& list, Waiter& waiter, bool at_once) {
  if (name_ == 0) {
    return tell_later(waiter, failure_ ? failure_ : ErrorCodeSys(net::error::operation_aborted));
  }
  if (at_once) return tell_later(waiter, {});
  waiter.next_ = std::exchange(list, &waiter);
  poller_.waits_more();
}

Waiter* Readiness::take(Waiter*& list) {
  Waiter* const first = list;
  list = std::exchange(first->next_, nullptr);
  poller_.waits_less();
  return first;
}

void Readiness::happened(std::uint32_t events) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) flags_ |= can_read;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) flags_ |= ended;
  if ((events & EPOLLPRI) != 0) flags_ |= urgent;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) flags_ |= can_write;
  // The last one is told at once, and may end this socket: nothing of it is touched behind that.
  Waiter* last = nullptr;
  const auto tell = [&](Waiter*& list) {
    while (list != nullptr) {
      if (last != nullptr) tell_later(*last, {});
      last = take(list);
    }
  };
  if ((flags_ & can_write) != 0) tell(writers_);
  if (readable()) tell(readers_);
  if (last != nullptr) last->ready({});
}

void Readiness::call_off(Waiter& waiter) {
  for (Waiter** list : {&readers_, &writers_}) {
    while (*list != nullptr && *list != &waiter) list = &(*list)->next_;
    if (*list != nullptr) tell_later(*take(*list), net::error::operation_aborted);
  }
}

void Readiness::call_off_reads() {
  while (readers_ != nullptr) tell_later(*take(readers_), net::error::operation_aborted);
}

void Readiness::close() noexcept {
  if (name_ == 0) return;
  poller_.remove(std::exchange(name_, 0));
  failure_.clear();
  while (readers_ != nullptr) tell_later(*take(readers_), net::error::operation_aborted);
  while (writers_ != nullptr) tell_later(*take(writers_), net::error::operation_aborted);
}

void Readiness::drop_waits() noexcept {
  // Dropping the last may destroy this.
  Waiter* lists[] = {std::exchange(readers_, nullptr), std::exchange(writers_, nullptr)};
  for (Waiter* first : lists) {
    while (first != nullptr) std::exchange(first, first->next_)->drop();
  }
}

}  // namespace nono
