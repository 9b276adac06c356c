// The socket within a TcpStream; only net/ sees it.
#pragma once

#include <asio/ip/tcp.hpp>

#include "net/tcp.h"

namespace smalti::net {

struct TcpStream::Socket {
  asio::ip::tcp::socket socket;
};

// "192.168.100.50:6668", "[::1]:6668"; an IPv4 address mapped into IPv6 is shown as IPv4.
std::string text_of(const asio::ip::tcp::endpoint&);

// A stream over a connected socket.
std::unique_ptr<TcpStream> stream_over(asio::ip::tcp::socket);

}  // namespace smalti::net
