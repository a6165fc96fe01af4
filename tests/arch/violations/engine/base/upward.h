#include "engine/format/precision.h"
