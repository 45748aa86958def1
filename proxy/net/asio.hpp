#pragma once
// The one spelling of Asio that the project uses. Third-party vocabulary only, so dns/ may include
// it.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>

namespace nono {

namespace net = boost::asio;
using ErrorCodeSys = boost::system::error_code;

// One io_context per thread and sessions that never migrate: the concrete executor is smaller and
// faster than any_io_executor, so every awaitable and every I/O object is typed by it.
using Executor = net::io_context::executor_type;
template <class T>
using Awaitable = net::awaitable<T, Executor>;

using TcpSocket = net::basic_stream_socket<net::ip::tcp, Executor>;
using TcpAcceptor = net::basic_socket_acceptor<net::ip::tcp, Executor>;
using UdpSocket = net::basic_datagram_socket<net::ip::udp, Executor>;
using UnixAcceptor = net::basic_socket_acceptor<net::local::stream_protocol, Executor>;
using StreamDescriptor = net::posix::basic_stream_descriptor<Executor>;
using SteadyTimer =
    net::basic_waitable_timer<std::chrono::steady_clock,
                              net::wait_traits<std::chrono::steady_clock>, Executor>;

// The completion token used everywhere: results as a tuple, nothing thrown, nothing allocated.
inline constexpr auto as_result = net::as_tuple(net::deferred);
using AsResult = std::remove_const_t<decltype(as_result)>;

}  // namespace nono
