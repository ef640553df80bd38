#ifndef CONTAINERBUILDER_DAEMON_LOG_FORMATTER_H_
#define CONTAINERBUILDER_DAEMON_LOG_FORMATTER_H_

#include <memory>

#include "spdlog/formatter.h"

namespace containerbuilder::daemon {

// Lines of the daemon's own log, as spdlog writes them. What is no printable
// ASCII in a message is `\xNN`: whoever had a hand in it neither begins a line
// nor gives orders to the terminal that shows it.
std::unique_ptr<spdlog::formatter> MakeLogFormatter();

}  // namespace containerbuilder::daemon

#endif  // CONTAINERBUILDER_DAEMON_LOG_FORMATTER_H_
