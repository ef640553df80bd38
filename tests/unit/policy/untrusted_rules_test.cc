#include "build/untrusted_rules.h"
