// Admission: who may be connected. A flood of strangers never keeps out those who know the secret.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace smalti::server {

struct AdmissionLimits {
  std::uint32_t clients = 1024;
  std::uint32_t strangers = 256;  // of these, not yet authenticated
};

// Used on its loop only. REQUIRES: outlives its tickets.
class Admission {
 public:
  using HangUp = std::function<void()>;

  explicit Admission(AdmissionLimits limits) : limits_(limits) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // One connection's place; given up when it dies.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Admission& admission, std::uint64_t number) : admission_(&admission), number_(number) {}
    Ticket(Ticket&& other) noexcept
        : admission_(std::exchange(other.admission_, nullptr)), number_(std::exchange(other.number_, 0)) {}
    Ticket& operator=(Ticket&& other) noexcept {
      std::swap(admission_, other.admission_);
      std::swap(number_, other.number_);
      return *this;
    }
    ~Ticket() {
      if (admission_) admission_->leave(number_);
    }
    explicit operator bool() const noexcept { return admission_ != nullptr; }

    // No longer a stranger. False: its address holds its fair part of all places already.
    bool admit() { return admission_ && admission_->admit(number_); }
    // What to do when the server wants it gone, in place of what arrive() was given.
    void replace(HangUp hang_up) {
      if (admission_) admission_->replace(number_, std::move(hang_up));
    }

   private:
    Admission* admission_ = nullptr;
    std::uint64_t number_ = 0;
  };

  // A new connection. Where strangers (or all places) are at their limit, the oldest stranger of the address
  // that has most of them is hung up on. An empty ticket: all places belong to authenticated clients.
  Ticket arrive(const std::string& address, HangUp hang_up);
  // Hangs up on everybody; tickets stay until their connections have ended.
  void hang_up_all();
  std::size_t connections() const noexcept { return places_.size(); }
  std::size_t strangers() const noexcept { return strangers_; }
  std::uint64_t evicted() const noexcept { return evicted_; }

 private:
  struct Place {
    std::string address;
    HangUp hang_up;
    bool stranger = true;
  };
  void leave(std::uint64_t number);
  bool admit(std::uint64_t number);
  void replace(std::uint64_t number, HangUp hang_up);
  bool evict_a_stranger();

  const AdmissionLimits limits_;
  std::map<std::uint64_t, Place> places_;  // by number, which is the order of arrival
  std::uint64_t last_ = 0;
  std::size_t strangers_ = 0;
  std::uint64_t evicted_ = 0;
};

// "192.168.100.50:6668", "[::1]:6668": without the port.
std::string address_of(const std::string& peer);

}  // namespace smalti::server
