#ifndef CONTAINERBUILDER_DAEMON_SETTINGS_FILE_H_
#define CONTAINERBUILDER_DAEMON_SETTINGS_FILE_H_

#include <map>
#include <string>
#include <vector>

#include "daemon/daemon_options.h"

namespace containerbuilder::daemon {

// Takes the settings of the TOML file at `path` over into `options`, and notes
// where each is from. What is wrong is appended to `problems`, a sentence each
// that begins with `FILE:LINE: `.
void ReadSettingsFile(const std::string& path, DaemonOptions& options,
                      std::map<std::string, std::string>& sources,
                      std::vector<std::string>& problems);

}  // namespace containerbuilder::daemon

#endif  // CONTAINERBUILDER_DAEMON_SETTINGS_FILE_H_
