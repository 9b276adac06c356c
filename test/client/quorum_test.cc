// Which version is the one: whatever part of the servers is heard, a finished write is found.
#include <gtest/gtest.h>

#include <cstdint>

#include "client/details.h"
#include "client/quorum.h"

namespace smalti::client {
namespace {

namespace native = wire::native;

native::Id id_of(std::uint8_t n) {
  native::Id id{};
  id[0] = std::byte{n};
  return id;
}

native::Register version(native::Number number, std::size_t keepers, bool settled = true, bool durable = false) {
  native::Register state;
  state.promised = state.number = number;
  state.settled = settled;
  state.record.image.raw[0] = std::byte(number);
  for (std::size_t i = 0; i < keepers; ++i)
    state.record.keepers.push_back({id_of(static_cast<std::uint8_t>(i)), 1, durable, "server-" + std::to_string(i)});
  return state;
}

Answer answer(std::size_t server, native::Register state, std::uint64_t incarnation = 1) {
  return {id_of(static_cast<std::uint8_t>(server)), incarnation, std::move(state)};
}

Answer silent(std::size_t server) {
  return {id_of(static_cast<std::uint8_t>(server)), 1, fail(Errc::unavailable, "no answer")};
}

TEST(Quorum, AnyTwoWritesAndAnyWriteAndReadMeet) {
  for (std::size_t n = 1; n <= 64; ++n) {
    EXPECT_GT(writers_of(n) + writers_of(n), n);
    EXPECT_EQ(writers_of(n) + readers_of(n), n + 1);
  }
}

// Every set of servers that a write may have reached, and every set that a reader may hear.
TEST(Quorum, AFinishedWriteIsNeverMissed) {
  for (std::size_t n = 1; n <= 6; ++n)
    for (std::uint32_t wrote = 0; wrote < 1u << n; ++wrote) {
      if (static_cast<std::size_t>(__builtin_popcount(wrote)) < writers_of(n)) continue;
      for (std::uint32_t heard = 1; heard < 1u << n; ++heard) {
        std::vector<Answer> answers;
        for (std::size_t i = 0; i < n; ++i)
          answers.push_back(!(heard >> i & 1) ? silent(i) : answer(i, version(wrote >> i & 1 ? 2 : 1, n)));
        const auto best = latest(answers);
        ASSERT_TRUE(best);
        const Verdict verdict = judge(answers, *best);
        if (verdict.enough) {
          EXPECT_EQ(answers[*best].state->number, 2u) << n << " " << wrote << " " << heard;
        }
        EXPECT_EQ(verdict.enough,
                  static_cast<std::size_t>(__builtin_popcount(heard)) >= readers_of(n));
      }
    }
}

TEST(Quorum, AServerThatForgotIsNotHeard) {
  const std::vector<Answer> answers{answer(0, version(1, 3)), answer(1, native::Register{}, 2), silent(2)};
  const Verdict verdict = judge(answers, 0);
  EXPECT_FALSE(verdict.enough);
  EXPECT_EQ(verdict.missing, "server-1 (restarted), server-2");
  EXPECT_EQ(verdict.lack, std::vector<std::size_t>{1});
  const std::vector<Answer> durable{answer(0, version(1, 3, true, true)), answer(1, native::Register{}, 2), silent(2)};
  EXPECT_TRUE(judge(durable, 0).enough);
}

TEST(Quorum, SaysWhoHasItAndWhoNot) {
  auto fresh = version(2, 3, false);
  const std::vector<Answer> answers{answer(0, version(1, 3)), answer(1, fresh), answer(2, fresh)};
  const auto best = latest(answers);
  ASSERT_EQ(best, 1u);
  const Verdict verdict = judge(answers, *best);
  EXPECT_FALSE(verdict.settled);
  EXPECT_EQ(verdict.have, (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(verdict.lack, std::vector<std::size_t>{0});
  EXPECT_EQ(next_number(answers), 3u);
}

TEST(Quorum, NumbersGrowBeyondAllThatWasHeardOf) {
  native::Register locked;
  locked.promised = 9;
  native::Register pinned;
  pinned.pinned = 12;
  EXPECT_EQ(next_number({silent(0)}), 1u);
  EXPECT_EQ(next_number({answer(0, version(4, 1)), answer(1, locked)}), 10u);
  EXPECT_EQ(next_number({answer(0, pinned), answer(1, locked)}), 13u);
  EXPECT_FALSE(latest({answer(0, pinned), silent(1)}));
}

const ImageSpec image{{1000, 600}, {Sample::u8, 3, 0}, {256, 256}};  // 12 tiles

Details some_details() {
  Details details;
  details.placing.servers = {{id_of(1), {"10.0.0.1", 6668}}, {id_of(2), {"::1", 7000}}, {id_of(3), {"host", 1}}};
  details.placing.ruled = 2;
  details.placing.first = 1;
  details.placing.replicas = 2;
  details.placing.exceptions = {{0, 2, {}}, {5, 1, {2, 0}}};
  details.sidecar.assign(777, std::byte{9});
  return details;
}

TEST(DetailsCodec, RoundTrips) {
  const Details details = some_details();
  const auto bytes = encode(details);
  ASSERT_TRUE(bytes);
  const auto back = decode_details(*bytes, image);
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(back->placing, details.placing);
  EXPECT_EQ(back->sidecar, details.sidecar);
}

TEST(DetailsCodec, NothingElseGetsIn) {
  Details details = some_details();
  details.sidecar.clear();
  const auto good = *encode(details);
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(decode_details(std::span(good).first(n), image)) << n;
  auto more = good;
  more.push_back({});
  EXPECT_FALSE(decode_details(more, image));
  // Whatever is changed: refused, or within the image and its servers.
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const int with : {0x01, 0x80, 0xff}) {
      auto bad = good;
      bad[at] ^= static_cast<std::byte>(with);
      const auto got = decode_details(bad, image);
      if (!got) continue;
      EXPECT_LE(got->placing.ruled, got->placing.servers.size());
      for (const auto& run : got->placing.exceptions) {
        EXPECT_LE(run.first + run.tiles, 12u);
        for (const auto holder : run.holders) EXPECT_LT(holder, got->placing.servers.size());
      }
    }
  details.sidecar.resize(most_sidecar_bytes + 1);
  const auto refused = encode(details);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::limit);
}

}  // namespace
}  // namespace smalti::client
