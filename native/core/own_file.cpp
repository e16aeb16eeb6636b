#include "core/own_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attribution {

int open_own_file(const std::string& path, int flags) {
  const bool truncates = (flags & O_TRUNC) != 0;
  // Without O_NONBLOCK a pipe would wait for its reader. It is emptied only once it is known to be our own.
  const int file = ::open(path.c_str(), (flags & ~O_TRUNC) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (file < 0 && errno != ELOOP && errno != ENXIO) fail_writing(path);
  struct stat status {};
  const bool is_own = file >= 0 && ::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink <= 1;
  if (!is_own) {
    if (file >= 0) ::close(file);
    fail(Code::invalid, "\"", path, "\" is a link, a pipe or a device, which is never written through: remove it");
  }
  if (truncates && ::ftruncate(file, 0) != 0) {
    ::close(file);
    fail_writing(path);
  }
  return file;
}

}  // namespace attribution
