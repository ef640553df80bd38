#ifndef CONTAINERBUILDER_DAEMON_SETTINGS_TABLE_H_
#define CONTAINERBUILDER_DAEMON_SETTINGS_TABLE_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/daemon_options.h"
#include "daemon/field.h"

namespace containerbuilder::daemon {

// Whether a running daemon takes the setting over on SIGHUP. Those that do are
// applied by Server::Reload.
enum class Reload { kNo, kYes };

// A row: all that there is to say about a setting. Its default is what the
// field is in DaemonOptions().
struct Setting {
  // The key in the file, the flag without its dashes, and in capitals, behind
  // CONTAINER_BUILDERD_, the variable.
  absl::string_view key;
  Field (*field)(DaemonOptions& options);
  Reload reload;
  // Sentences for --help, `config default` and the man page.
  absl::string_view help;
};

// Every setting, in the order in which they are shown. Flags, variables, the
// file, --help, the man page and SIGHUP know no other list.
absl::Span<const Setting> Settings();

// Null: there is none of this key.
const Setting* FindSetting(absl::string_view key);

}  // namespace containerbuilder::daemon

#endif  // CONTAINERBUILDER_DAEMON_SETTINGS_TABLE_H_
