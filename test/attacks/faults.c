// LD_PRELOAD: makes reads, writes, syncs, renames and openings of files under ATTACK_PATH fail, one in ATTACK_ONE_IN, with EIO or ENOSPC.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic uint64_t state;

static uint64_t next(void) {
  uint64_t z = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

__attribute__((constructor)) static void begin(void) {
  const char* seed = getenv("ATTACK_SEED");
  state = seed ? strtoull(seed, NULL, 10) : 1;
}

static int hits(const char* path) {
  const char* under = getenv("ATTACK_PATH");
  const char* one_in = getenv("ATTACK_ONE_IN");
  if (!under || !one_in || !path || strncmp(path, under, strlen(under)) != 0) return 0;
  return next() % strtoull(one_in, NULL, 10) == 0;
}

static int file_hits(int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return hits(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_FILE(file, code)  \
  do {                         \
    if (file_hits(file)) {     \
      errno = (code);          \
      return -1;               \
    }                          \
  } while (0)

ssize_t read(int f, void* b, size_t n) { FAIL_FILE(f, EIO); return REAL(read)(f, b, n); }
ssize_t pread(int f, void* b, size_t n, off_t o) { FAIL_FILE(f, EIO); return REAL(pread)(f, b, n, o); }
ssize_t pread64(int f, void* b, size_t n, off64_t o) { FAIL_FILE(f, EIO); return REAL(pread64)(f, b, n, o); }
ssize_t write(int f, const void* b, size_t n) { FAIL_FILE(f, ENOSPC); return REAL(write)(f, b, n); }
ssize_t pwrite(int f, const void* b, size_t n, off_t o) { FAIL_FILE(f, ENOSPC); return REAL(pwrite)(f, b, n, o); }
ssize_t pwrite64(int f, const void* b, size_t n, off64_t o) { FAIL_FILE(f, ENOSPC); return REAL(pwrite64)(f, b, n, o); }
ssize_t writev(int f, const struct iovec* v, int n) { FAIL_FILE(f, ENOSPC); return REAL(writev)(f, v, n); }
int fsync(int f) { FAIL_FILE(f, EIO); return REAL(fsync)(f); }
int fdatasync(int f) { FAIL_FILE(f, EIO); return REAL(fdatasync)(f); }
int ftruncate(int f, off_t n) { FAIL_FILE(f, ENOSPC); return REAL(ftruncate)(f, n); }
int ftruncate64(int f, off64_t n) { FAIL_FILE(f, ENOSPC); return REAL(ftruncate64)(f, n); }

int rename(const char* from, const char* to) {
  if (hits(to)) return errno = EIO, -1;
  return REAL(rename)(from, to);
}

int mkdir(const char* path, mode_t mode) {
  if (hits(path)) return errno = ENOSPC, -1;
  return REAL(mkdir)(path, mode);
}

static int opened(const char* path, int flags, mode_t mode, int (*real)(const char*, int, ...)) {
  if (hits(path)) return errno = EIO, -1;
  return real(path, flags, mode);
}

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return opened(path, flags, mode, REAL(open));
}

int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return opened(path, flags, mode, REAL(open64));
}
