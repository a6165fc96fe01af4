#include "engine/base/compute_pool.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/mutex.h"
#include "engine/base/usable_cpus.h"
#include "engine/base/worker_team.h"

namespace bitrate {

struct ComputePool::State {
  struct Client {
    std::string name;
    double weight = 1;
    double virtual_time = 0;
    double leased_seconds = 0;
    int active = 0;  // leases held or waited for
  };
  struct Waiter {
    ClientId client;
    uint64_t ticket;
    bool granted = false;
    CondVar turn;
  };

  // Gives the free pool to the waiter that is furthest behind, unless it is kept for another client.
  void GrantIfFree() REQUIRES(mutex) {
    if (held || waiters.empty()) return;
    const auto behind = [this](const Waiter* a, const Waiter* b) REQUIRES(mutex) {
      const double va = clients.at(a->client).virtual_time, vb = clients.at(b->client).virtual_time;
      return va != vb ? va < vb : a->ticket < b->ticket;
    };
    const auto next = std::min_element(waiters.begin(), waiters.end(), behind);
    Waiter* waiter = *next;
    if (reserved_for && *reserved_for != waiter->client && std::chrono::steady_clock::now() < reserved_until) {
      waiter->turn.Signal();  // so that somebody waits for the end of the reservation
      return;
    }
    reserved_for.reset();
    waiters.erase(next);
    held = true;
    virtual_now = std::max(virtual_now, clients.at(waiter->client).virtual_time);
    waiter->granted = true;
    waiter->turn.Signal();
  }

  void EndReservation(ClientId client) REQUIRES(mutex) {
    if (reserved_for != client) return;
    reserved_for.reset();
    GrantIfFree();
  }

  // Keeps the pool for `client` when it is still further behind than everybody who waits.
  void Reserve(ClientId client, Duration lease, Duration grace) REQUIRES(mutex) {
    reserved_for.reset();
    const double mine = clients.at(client).virtual_time;
    for (const Waiter* waiter : waiters) {
      if (waiter->client == client || clients.at(waiter->client).virtual_time <= mine) return;
    }
    grace = std::min(grace, lease / 2);
    if (waiters.empty() || grace <= Duration::zero()) return;
    reserved_for = client;
    reserved_until = std::chrono::steady_clock::now() + grace;
  }

  mutable Mutex mutex;
  std::map<ClientId, Client> clients GUARDED_BY(mutex);
  std::vector<Waiter*> waiters GUARDED_BY(mutex);
  ClientId last_id GUARDED_BY(mutex) = 0;
  uint64_t last_ticket GUARDED_BY(mutex) = 0;
  bool held GUARDED_BY(mutex) = false;
  TimePoint lease_start GUARDED_BY(mutex);
  double virtual_now GUARDED_BY(mutex) = 0;  // virtual time of the last turn given; never decreases
  double total_seconds GUARDED_BY(mutex) = 0;
  std::optional<ClientId> reserved_for GUARDED_BY(mutex);
  TimePoint reserved_until GUARDED_BY(mutex);
  Duration turn_grace;
  const Clock* clock;
};

ComputePool::ComputePool(const Options& options) : state_(std::make_unique<State>()) {
  BITRATE_CHECK(options.num_threads >= 0 && options.clock != nullptr);
  state_->turn_grace = options.turn_grace;
  state_->clock = options.clock;
  const int num_workers = options.num_threads > 0 ? options.num_threads : UsableCpus();
  workers_ = std::make_unique<WorkerTeam>(num_workers, options.pin_threads);
}

ComputePool::~ComputePool() {
  MutexLock lock(&state_->mutex);
  BITRATE_CHECK(!state_->held && state_->waiters.empty());
}

int ComputePool::num_workers() const { return workers_->num_workers(); }

ComputePool::ClientId ComputePool::Register(std::string name, double weight) {
  BITRATE_CHECK(std::isfinite(weight) && weight > 0);
  MutexLock lock(&state_->mutex);
  const ClientId id = ++state_->last_id;
  state_->clients[id] = {std::move(name), weight, state_->virtual_now, 0, 0};
  return id;
}

void ComputePool::Unregister(ClientId client) {
  MutexLock lock(&state_->mutex);
  const auto found = state_->clients.find(client);
  BITRATE_CHECK(found != state_->clients.end() && found->second.active == 0);
  state_->clients.erase(found);
  state_->EndReservation(client);
}

void ComputePool::Leave(ClientId client) {
  MutexLock lock(&state_->mutex);
  state_->EndReservation(client);
}

ComputePool::Lease ComputePool::Acquire(ClientId client) {
  State& state = *state_;
  MutexLock lock(&state.mutex);
  const auto found = state.clients.find(client);
  BITRATE_CHECK(found != state.clients.end());
  if (found->second.active++ == 0) {
    found->second.virtual_time = std::max(found->second.virtual_time, state.virtual_now);
  }
  State::Waiter self{client, ++state.last_ticket, false, {}};
  state.waiters.push_back(&self);
  state.GrantIfFree();
  while (!self.granted) {
    if (!state.held && state.reserved_for) {
      self.turn.WaitUntil(&state.mutex, state.reserved_until);
      state.GrantIfFree();
    } else {
      self.turn.Wait(&state.mutex);
    }
  }
  state.lease_start = state.clock->Now();
  return Lease(this, client);
}

double ComputePool::LeasedSeconds(ClientId client) const {
  MutexLock lock(&state_->mutex);
  const auto found = state_->clients.find(client);
  return found == state_->clients.end() ? 0 : found->second.leased_seconds;
}

double ComputePool::TotalLeasedSeconds() const {
  MutexLock lock(&state_->mutex);
  return state_->total_seconds;
}

int ComputePool::NumWaiting() const {
  MutexLock lock(&state_->mutex);
  return static_cast<int>(state_->waiters.size());
}

ComputePool::Lease::Lease(ComputePool* pool, ClientId client) : pool_(pool), client_(client) {}

ComputePool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), client_(other.client_) {}

ComputePool::Lease::~Lease() { Finish(); }

int ComputePool::Lease::num_workers() const { return pool_->workers_->num_workers(); }

void ComputePool::Lease::Run(absl::FunctionRef<void(int worker)> fn) { pool_->workers_->Run(fn); }

double ComputePool::Lease::Finish() {
  if (pool_ == nullptr) return 0;
  ComputePool* pool = std::exchange(pool_, nullptr);
  State& state = *pool->state_;
  MutexLock lock(&state.mutex);
  const Duration wall = state.clock->Now() - state.lease_start;
  const double seconds = ToSeconds(wall) * pool->num_workers();
  State::Client& client = state.clients.at(client_);
  client.leased_seconds += seconds;
  client.virtual_time += seconds / client.weight;
  --client.active;
  state.total_seconds += seconds;
  state.held = false;
  state.Reserve(client_, wall, state.turn_grace);
  state.GrantIfFree();
  return seconds;
}

}  // namespace bitrate
