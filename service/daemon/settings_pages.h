#ifndef CONTAINERBUILDER_DAEMON_SETTINGS_PAGES_H_
#define CONTAINERBUILDER_DAEMON_SETTINGS_PAGES_H_

#include <string>

#include "daemon/settings.h"

namespace containerbuilder::daemon {

// What --help prints.
std::string HelpPage();

// A file of settings that has every default, each with what it is for.
std::string DefaultConfig();

// The settings as they are in effect, as such a file, each with its source.
std::string EffectiveConfig(LoadedSettings settings);

// container-builderd(8) in roff.
std::string ManPage();

}  // namespace containerbuilder::daemon

#endif  // CONTAINERBUILDER_DAEMON_SETTINGS_PAGES_H_
