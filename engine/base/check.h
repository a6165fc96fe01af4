// CHECK: programmer errors only, on in every build. Never reachable from a request, a file, a config or a device.
#ifndef BITRATE_ENGINE_BASE_CHECK_H_
#define BITRATE_ENGINE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define BITRATE_CHECK(condition)                                                         \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

#endif  // BITRATE_ENGINE_BASE_CHECK_H_
