#include <grpcpp/grpcpp.h>
#include "engine/backend/cpu/linear.h"
int x = int(QuantFormatId::kQ4_1);
