#ifndef CONTAINERBUILDER_CLI_SAME_FOLDER_H_
#define CONTAINERBUILDER_CLI_SAME_FOLDER_H_

#include <string>

#include "absl/status/statusor.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/client_options.h"
#include "leftovers.h"

namespace containerbuilder::cli {

// Whether it is worth asking: the service is reached by a unix socket.
bool MaySeeSameFolder(const client::ClientOptions& options);

// Whether the service proves that it sees this very folder under this path, so
// that a build can use it in place. Sockets can be forwarded and folders be
// mounted elsewhere; so a file with a name that cannot be guessed is made in
// the folder, and the service is asked whether that exists: ConstructArgs tells
// it of a caller's texts. False, too, where such a file cannot be made, and for
// a caller whom the service does not tell.
absl::StatusOr<bool> SeesSameFolder(client::Client& client,
                                    const std::string& folder,
                                    Leftovers& leftovers);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_SAME_FOLDER_H_
