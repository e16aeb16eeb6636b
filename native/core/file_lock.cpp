#include "core/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/own_file.h"

namespace attribution {

std::unique_ptr<FileLock> FileLock::acquire(const std::string& path) {
  for (;;) {
    std::unique_ptr<FileLock> lock(new FileLock(path, open_own_file(path, O_RDWR | O_CREAT)));
    if (::flock(lock->descriptor_, LOCK_EX | LOCK_NB) != 0) {
      const int reason = errno;
      ::close(std::exchange(lock->descriptor_, -1));
      if (reason == EINTR) continue;
      if (reason == EWOULDBLOCK) return nullptr;
      fail(Code::unsupported, "Cannot lock \"", path, "\" (", std::strerror(reason),
           "): choose a folder on a file system that has locks");
    }
    // The holder before may have removed the file after this call opened it.
    if (lock->is_at_its_path()) return lock;
    ::close(std::exchange(lock->descriptor_, -1));
  }
}

bool FileLock::is_at_its_path() const {
  struct stat held {
  }, named{};
  return ::fstat(descriptor_, &held) == 0 && ::lstat(path_.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

FileLock::~FileLock() {
  if (descriptor_ < 0) return;
  if (is_at_its_path()) ::unlink(path_.c_str());
  ::close(descriptor_);
}

}  // namespace attribution
