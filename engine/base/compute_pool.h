// The CPU workers that all CPU instances share by turns of whole steps (DESIGN section 4). An instance registers as a
// client, takes a Lease for each step, runs its operators on all workers, and gives the lease back: variants never
// fight for cores, and each step's device time belongs to exactly one variant.
//
// Turns: among waiting clients the one with the smallest virtual time (device-seconds used / weight) goes next; a
// client that was idle re-enters at the virtual time of the last turn given, so it can neither hoard nor starve. A
// client whose turn ends while it is still the furthest behind keeps the pool until it asks again, says that it has no
// work (Leave), or `turn_grace` (and half of its lease) has passed: without that, two clients that each leave for a
// moment between steps would alternate whatever their weights.
//
// Device-seconds of a lease = its wall time x num_workers(); the pool clocks it itself, apart from any bookkeeping of
// the instances, so that costs can be checked against it.
//
// Workers: num_threads follows the process affinity mask and the cgroup CPU quota unless set. How they spin, park and
// are pinned is worker_team.h.
//
// Thread rule: Register/Unregister/Acquire/Leave from any thread; a Lease is used by the thread that acquired it.
#ifndef BITRATE_ENGINE_BASE_COMPUTE_POOL_H_
#define BITRATE_ENGINE_BASE_COMPUTE_POOL_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/clock.h"
#include "engine/base/parallel.h"
#include "engine/base/usable_cpus.h"

namespace bitrate {

class WorkerTeam;

class ComputePool {
 public:
  struct Options {
    int num_threads = 0;  // workers, the leaseholder included; 0 = usable CPUs
    bool pin_threads = true;
    // Of real time; 0 = a turn always goes to who waits. Between two steps an engine commits and plans, with gRPC and
    // perhaps a client on the same cores.
    Duration turn_grace = std::chrono::milliseconds(3);
    const Clock* clock = Clock::System();  // clocks the leases; must outlive the pool
  };
  explicit ComputePool(const Options& options);
  ~ComputePool();  // no lease may be outstanding
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  int num_workers() const;

  using ClientId = uint64_t;
  ClientId Register(std::string name, double weight = 1.0);
  void Unregister(ClientId client);  // it may not hold or wait for a lease

  class Lease final : public Parallel {
   public:
    Lease(Lease&& other) noexcept;
    ~Lease() override;  // gives the pool back if Finish was not called
    int num_workers() const override;
    void Run(absl::FunctionRef<void(int worker)> fn) override;
    // Gives the pool back and returns the device-seconds this lease used; 0 when it was given back before.
    double Finish();

   private:
    friend class ComputePool;
    Lease(ComputePool* pool, ClientId client);
    ComputePool* pool_;
    ClientId client_;
  };

  // Blocks until it is `client`'s turn.
  Lease Acquire(ClientId client);

  // `client` has no work for now: what is kept for it goes to who waits. Not needed before Unregister.
  void Leave(ClientId client);

  // Device-seconds of finished leases: of `client` since Register (0 when unknown), and of all clients ever. Exactly
  // the sums of what Finish returned.
  double LeasedSeconds(ClientId client) const;
  double TotalLeasedSeconds() const;
  int NumWaiting() const;  // calls of Acquire that wait for their turn

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::unique_ptr<WorkerTeam> workers_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_COMPUTE_POOL_H_
