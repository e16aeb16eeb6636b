// A lock that lies in the file system and dies with its process, whatever ended it: also between containers.
#pragma once
#include <memory>
#include <string>

namespace attribution {

class FileLock {
 public:
  /// Locks the file at `path`, which is made where it is not there. None while someone else holds it, in this process
  /// or another one.
  static std::unique_ptr<FileLock> acquire(const std::string& path);
  /// Removes the file and gives up the lock.
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  FileLock(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  bool is_at_its_path() const;
  std::string path_;
  int descriptor_;
};

}  // namespace attribution
