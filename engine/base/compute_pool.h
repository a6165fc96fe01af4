// The CPU workers that all CPU instances share by turns of whole steps (DESIGN section 4). An instance registers as a
// client, takes a Lease for each step, runs its operators on all workers, and gives the lease back: variants never fight
// for cores, and each step's device time belongs to exactly one variant.
//
// Turns: among waiting clients the one with the smallest virtual time (device-seconds used / weight) goes next; a client
// that was idle re-enters at the smallest virtual time of the active ones, so it can neither hoard nor starve.
// Device-seconds of a lease = its wall time x num_workers(); the pool clocks it itself, apart from any bookkeeping of
// the instances, so that costs can be checked against it.
// Workers spin briefly between the Run calls of a lease and park on a futex when no lease is held. num_threads follows
// the process affinity mask and the cgroup CPU quota unless set.
//
// Thread rule: Register/Unregister/Acquire from any thread; a Lease is used by the thread that acquired it.
#ifndef BITRATE_ENGINE_BASE_COMPUTE_POOL_H_
#define BITRATE_ENGINE_BASE_COMPUTE_POOL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/parallel.h"

namespace bitrate {

class ComputePool {
 public:
  struct Options {
    int num_threads = 0;   // workers, the leaseholder included; 0 = usable CPUs
    bool pin_threads = true;
  };
  explicit ComputePool(const Options& options);
  ~ComputePool();  // no lease may be outstanding
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  int num_workers() const;

  using ClientId = uint64_t;
  ClientId Register(std::string name, double weight = 1.0);
  void Unregister(ClientId client);

  class Lease final : public Parallel {
   public:
    Lease(Lease&& other) noexcept;
    ~Lease() override;  // gives the pool back if Finish was not called
    int num_workers() const override;
    void Run(absl::FunctionRef<void(int worker)> fn) override;
    // Gives the pool back and returns the device-seconds this lease used.
    double Finish();

   private:
    friend class ComputePool;
    Lease(ComputePool* pool, ClientId client);
    ComputePool* pool_;
    ClientId client_;
  };

  // Blocks until it is `client`'s turn.
  Lease Acquire(ClientId client);

  // Device-seconds the pool has clocked for `client` since Register, and for all clients ever.
  double LeasedSeconds(ClientId client) const;
  double TotalLeasedSeconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// CPUs this process may use: affinity mask, lowered by the cgroup v1/v2 quota (rounded up), at least 1.
int UsableCpus();

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_COMPUTE_POOL_H_
