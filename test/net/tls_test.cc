#include "net/tls.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "test/net/pairs.h"

namespace smalti::net {
namespace {

using namespace std::chrono_literals;

const Psk& good_key() {
  static const Psk key{Secret("correct horse")};
  return key;
}

const Psk& other_key() {
  static const Psk key{Secret("battery staple")};
  return key;
}

struct SecurePair {
  Result<std::unique_ptr<SecureStream>> client;
  Result<std::unique_ptr<SecureStream>> server;
};

SecurePair secure_pair(Loop& loop, Psk client_key = good_key(), Psk server_key = good_key(),
                       std::uint64_t rekey = rekey_after) {
  auto tcp = tcp_pair(loop);
  auto [client, server] = both(loop, secure_client(std::move(tcp.client), client_key, soon(), rekey),
                               secure_server(std::move(tcp.server), server_key, soon(), rekey));
  return {std::move(client), std::move(server)};
}

TEST(Psk, IsOneForOnePassphrase) {
  const Psk again{Secret("correct horse")};
  const auto a = good_key().key();
  const auto b = again.key();
  const auto c = other_key().key();
  ASSERT_TRUE(a && b && c);
  EXPECT_TRUE(std::equal(a->begin(), a->end(), b->begin()));
  EXPECT_FALSE(std::equal(a->begin(), a->end(), c->begin()));
  EXPECT_FALSE(std::all_of(a->begin(), a->end(), [](std::byte x) { return x == std::byte{}; }));
  EXPECT_FALSE(Psk(Secret()).key());
}

// The parameters are part of the protocol: whoever changes them changes this.
TEST(Psk, FollowsTheDocument) {
  const auto key = good_key().key();
  ASSERT_TRUE(key);
  std::string hex;
  for (const std::byte b : *key) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", std::to_integer<unsigned>(b));
    hex += two;
  }
  EXPECT_EQ(hex, "2170c7aea8a1eec7a0371f80d4707e32cc98d4528c9cbca00ec75ed436c42d8d");
}

TEST(Tls, CarriesMuchBothWaysAtOnce) {
  Loop loop;
  auto pair = secure_pair(loop, good_key(), good_key(), 1u << 20);  // keys are renewed on the way
  ASSERT_TRUE(pair.client) << pair.client.error().what;
  ASSERT_TRUE(pair.server) << pair.server.error().what;
  const auto up = pattern(12u << 20, 3);
  const auto down = pattern(9'000'001, 4);
  auto sending = std::async(std::launch::async, [&] {
    return both(loop, write_all(pair.client->get(), up), write_all(pair.server->get(), down));
  });
  auto [at_server, at_client] = both(loop, read_exactly(pair.server->get(), up.size()),
                                     read_exactly(pair.client->get(), down.size()));
  auto [one, two] = sending.get();
  EXPECT_TRUE(one && two);
  ASSERT_TRUE(at_server) << at_server.error().what;
  ASSERT_TRUE(at_client) << at_client.error().what;
  EXPECT_TRUE(*at_server == up);
  EXPECT_TRUE(*at_client == down);
}

TEST(Tls, GathersPartsOfAllSizes) {
  Loop loop;
  auto pair = secure_pair(loop);
  ASSERT_TRUE(pair.client && pair.server);
  std::vector<std::vector<std::byte>> sent;
  std::vector<std::byte> whole;
  for (const std::size_t size : {1u, 0u, 63u, 16383u, 16384u, 16385u, 1u, 400000u, 7u, 16384u, 32768u, 5u}) {
    sent.push_back(pattern(size, static_cast<std::uint32_t>(whole.size())));
    whole.insert(whole.end(), sent.back().begin(), sent.back().end());
  }
  const std::vector<Bytes> parts(sent.begin(), sent.end());
  auto [wrote, read] =
      both(loop, (*pair.client)->write(parts, soon()), read_exactly(pair.server->get(), whole.size()));
  ASSERT_TRUE(wrote) << wrote.error().what;
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_TRUE(*read == whole);
}

TEST(Tls, AnotherSecretIsRefusedOnBothSides) {
  Loop loop;
  auto pair = secure_pair(loop, good_key(), other_key());
  ASSERT_FALSE(pair.client);
  ASSERT_FALSE(pair.server);
  EXPECT_EQ(pair.client.error().code, Errc::unauthorized) << pair.client.error().what;
  EXPECT_EQ(pair.server.error().code, Errc::unauthorized) << pair.server.error().what;
  EXPECT_THAT(pair.client.error().what, testing::EndsWith(": authentication failed"));
  EXPECT_THAT(pair.server.error().what, testing::EndsWith(": authentication failed"));
}

Task<std::unique_ptr<SecureStream>> greet_then_secure(std::unique_ptr<TcpStream> tcp, std::vector<std::byte> greeting,
                                                      Psk key) {
  auto greeted = co_await write_all(tcp.get(), Bytes(greeting));
  if (!greeted) co_return pass(std::move(greeted.error()));
  auto first = co_await tcp->peek(soon());
  if (!first) co_return pass(std::move(first.error()));
  if (*first != tls_record) co_return fail(Errc::invalid, "not TLS");
  co_return co_await secure_server(std::move(tcp), std::move(key), soon());
}

TEST(Tls, SkipsAGreetingOfAnyKind) {
  Loop loop;
  for (const std::size_t size : {0u, 8u, 16u}) {
    for (const bool right : {true, false}) {
      auto greeting = pattern(size, 7);
      if (size > 1) greeting[1] = tls_record;                 // only bytes 0 and 8 are promised
      if (size > 0) greeting[0] = std::byte{0x15};            // looks like an alert at first
      if (size > 8) greeting[8] = std::byte{0x17};
      auto tcp = tcp_pair(loop);
      auto [client, server] =
          both(loop, secure_client(std::move(tcp.client), good_key(), soon()),
               greet_then_secure(std::move(tcp.server), greeting, right ? good_key() : other_key()));
      EXPECT_EQ(client.has_value(), right) << size;
      EXPECT_EQ(server.has_value(), right) << size;
      if (right || client) continue;
      EXPECT_EQ(client.error().code, Errc::unauthorized) << client.error().what;
    }
  }
}

TEST(Tls, WhatDoesNotAnswerInTlsIsNoServerOfOurs) {
  Loop loop;
  auto tcp = tcp_pair(loop);
  auto [client, wrote] = both(loop, secure_client(std::move(tcp.client), good_key(), soon()),
                              write_all(tcp.server.get(), bytes_of("HTTP/1.1 400 Bad Request\r\n\r\n")));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, Errc::incompatible) << client.error().what;
}

TEST(Tls, AServerThatHangsUpOrSaysNothingIsNotWaitedForForEver) {
  Loop loop;
  auto tcp = tcp_pair(loop);
  auto mute = loop.run(secure_client(std::move(tcp.client), good_key(), soon(30ms)));
  ASSERT_FALSE(mute);
  EXPECT_EQ(mute.error().code, Errc::timeout);
  tcp = tcp_pair(loop);
  tcp.server->end_writing();
  auto gone = loop.run(secure_client(std::move(tcp.client), good_key(), soon()));
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Errc::unavailable) << gone.error().what;
}

TEST(Tls, GarbageIsRefusedByTheServer) {
  Loop loop;
  auto tcp = tcp_pair(loop);
  auto garbage = pattern(4096, 5);
  garbage[0] = tls_record;
  auto [server, wrote] = both(loop, secure_server(std::move(tcp.server), good_key(), soon()),
                              write_all(tcp.client.get(), Bytes(garbage)));
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, Errc::incompatible) << server.error().what;
}

TEST(Tls, AnEndIsBelievedOnlyWhenAnnounced) {
  Loop loop;
  auto pair = secure_pair(loop);
  ASSERT_TRUE(pair.client && pair.server);
  ASSERT_TRUE(loop.run(close_on_loop(std::move(*pair.client))));
  auto end = loop.run(read_exactly(pair.server->get(), 1));
  ASSERT_TRUE(end) << end.error().what;
  EXPECT_TRUE(end->empty());

  auto tcp = tcp_pair(loop);
  const int raw = ::dup(tcp.client->descriptor());
  auto [client, server] = both(loop, secure_client(std::move(tcp.client), good_key(), soon()),
                               secure_server(std::move(tcp.server), good_key(), soon()));
  ASSERT_TRUE(client && server);
  ::shutdown(raw, SHUT_WR);  // a cut, as a middlebox would make it
  auto cut = loop.run(read_exactly(server->get(), 1));
  ::close(raw);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, Errc::unavailable) << cut.error().what;
}

TEST(Tls, AChangedByteIsNoticed) {
  Loop loop;
  auto tcp = tcp_pair(loop);
  const int raw = ::dup(tcp.client->descriptor());
  auto [client, server] = both(loop, secure_client(std::move(tcp.client), good_key(), soon()),
                               secure_server(std::move(tcp.server), good_key(), soon()));
  ASSERT_TRUE(client && server);
  const unsigned char forged[] = {0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
  ASSERT_EQ(::write(raw, forged, sizeof forged), static_cast<ssize_t>(sizeof forged));
  ::close(raw);
  auto read = loop.run(read_exactly(server->get(), 1));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::corrupt) << read.error().what;
}

// What a client and a server do that agree on plain frames: hellos under TLS, then the same socket in clear.
Task<std::unique_ptr<TcpStream>> hello_then_plain(SecureStream* stream, std::size_t hello) {
  const auto mine = pattern(hello, 11);
  auto wrote = co_await write_all(stream, Bytes(mine));
  if (!wrote) co_return pass(std::move(wrote.error()));
  auto theirs = co_await read_exactly(stream, hello);
  if (!theirs) co_return pass(std::move(theirs.error()));
  auto plain = co_await stream->plain(soon());
  if (!plain) co_return pass(std::move(plain.error()));
  const auto clear = pattern(100000, 12);
  auto sent = co_await write_all(plain->get(), Bytes(clear));
  if (!sent) co_return pass(std::move(sent.error()));
  co_return std::move(*plain);
}

TEST(Tls, EncryptionCanEndOnTheSameSocket) {
  Loop loop;
  auto pair = secure_pair(loop);
  ASSERT_TRUE(pair.client && pair.server);
  auto [client, server] =
      both(loop, hello_then_plain(pair.client->get(), 300), hello_then_plain(pair.server->get(), 300));
  ASSERT_TRUE(client) << client.error().what;
  ASSERT_TRUE(server) << server.error().what;
  const auto clear = pattern(100000, 12);
  auto [a, b] = both(loop, read_exactly(client->get(), clear.size()), read_exactly(server->get(), clear.size()));
  ASSERT_TRUE(a && b);
  EXPECT_TRUE(*a == clear);
  EXPECT_TRUE(*b == clear);
}

TEST(Tls, EncryptionCannotEndOnUnreadBytes) {
  Loop loop;
  auto pair = secure_pair(loop);
  ASSERT_TRUE(pair.client && pair.server);
  ASSERT_TRUE(loop.run(write_all(pair.client->get(), bytes_of("early"))));
  auto plain = loop.run((*pair.server)->plain(soon()));
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().code, Errc::corrupt);
}

TEST(Tls, ReadsTimeOutAndMayBeTriedAgain) {
  Loop loop;
  auto pair = secure_pair(loop);
  ASSERT_TRUE(pair.client && pair.server);
  auto read = loop.run(read_exactly(pair.server->get(), 1, soon(10ms)));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::timeout);
  ASSERT_TRUE(loop.run(write_all(pair.client->get(), bytes_of("x"))));
  EXPECT_TRUE(loop.run(read_exactly(pair.server->get(), 1)));
}

}  // namespace
}  // namespace smalti::net
