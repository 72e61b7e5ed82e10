/* A disk that goes away: calls on files below some folders fail, as they do on network storage that is lost.

   cc -shared -fPIC -O2 -o lost_disk.so lost_disk.c -ldl;  LD_PRELOAD=./lost_disk.so MOFORE_LOST=... program

   MOFORE_LOST         absolute folders, separated by colons
   MOFORE_LOST_ERRNO   the number of the error (5 is EIO, 116 ESTALE)
   MOFORE_LOST_SWITCH  a file elsewhere: calls fail as long as it is there; without it, MOFORE_LOST_FIRST decides
   MOFORE_LOST_FIRST   the first call of a process that fails, counted from 1 ...
   MOFORE_LOST_COUNT   ... and how many fail (0: all from there on)
   MOFORE_LOST_TALLY   a file that each process which ends by itself adds its number of calls to, a line each
   MOFORE_LOST_CALLS   "all", "read" (reads of open files alone), or "write" (what changes something)

   Descriptors are known by the path that they were opened with; memory maps are not touched (a lost page is a SIGBUS). */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST 65536
enum kind { LOOK, READ, WRITE };
static char below[MOST]; /* descriptors of files below the folders */
static long calls;

static int wanted(enum kind kind) {
    const char *which = getenv("MOFORE_LOST_CALLS");
    if (!which || !strcmp(which, "all")) return 1;
    return !strcmp(which, "read") ? kind == READ : kind == WRITE;
}

static int fails(enum kind kind) {
    const char *number = getenv("MOFORE_LOST_ERRNO"), *toggle = getenv("MOFORE_LOST_SWITCH");
    if (!wanted(kind)) return 0;
    if (toggle) {
        if (syscall(SYS_access, toggle, F_OK)) return 0;
    } else {
        const char *first = getenv("MOFORE_LOST_FIRST"), *count = getenv("MOFORE_LOST_COUNT");
        long begin = first ? atol(first) : 1, many = count ? atol(count) : 0;
        long call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
        if (call < begin || (many && call >= begin + many)) return 0;
    }
    errno = number ? atoi(number) : EIO;
    return 1;
}

__attribute__((destructor)) static void tell(void) {
    const char *tally = getenv("MOFORE_LOST_TALLY");
    char line[32];
    int length = snprintf(line, sizeof line, "%ld\n", calls), file;
    if (!tally || !calls) return;
    file = syscall(SYS_openat, AT_FDCWD, tally, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0) return;
    syscall(SYS_write, file, line, length);
    syscall(SYS_close, file);
}

static int is_below(const char *path) {
    const char *folders = getenv("MOFORE_LOST");
    char whole[PATH_MAX * 2];
    if (!folders || !path) return 0;
    if (path[0] == '/') {
        if (strlen(path) >= sizeof whole) return 0;
        strcpy(whole, path);
    } else {
        if (!getcwd(whole, PATH_MAX) || strlen(path) >= PATH_MAX) return 0;
        strcat(whole, "/");
        strcat(whole, path);
    }
    while (*folders) {
        size_t length = strcspn(folders, ":");
        if (length && !strncmp(whole, folders, length) && (whole[length] == '/' || !whole[length])) return 1;
        folders += length + (folders[length] == ':');
    }
    return 0;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define LOST(path, kind) (is_below(path) && fails(kind))
#define GONE(descriptor, kind) ((descriptor) >= 0 && (descriptor) < MOST && below[descriptor] && fails(kind))

static int opened(int descriptor, const char *path) {
    if (descriptor >= 0 && descriptor < MOST) below[descriptor] = is_below(path);
    return descriptor;
}

#define KIND(flags) (((flags) & (O_CREAT | O_TRUNC)) ? WRITE : LOOK)
#define MODE(flags) \
    int mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, int); \
        va_end(rest); \
    }
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        MODE(flags) \
        if (LOST(path, KIND(flags))) return -1; \
        return opened(real(path, flags, mode), path); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        MODE(flags) \
        if (folder == AT_FDCWD || path[0] == '/') { \
            if (LOST(path, KIND(flags))) return -1; \
            return opened(real(folder, path, flags, mode), path); \
        } \
        if (GONE(folder, KIND(flags))) return -1; \
        int descriptor = real(folder, path, flags, mode); \
        if (descriptor >= 0 && descriptor < MOST && folder < MOST) below[descriptor] = below[folder]; \
        return descriptor; \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int descriptor) {
    REAL(close);
    if (descriptor >= 0 && descriptor < MOST) below[descriptor] = 0;
    return real(descriptor);
}

#define ON_FILE(type, name, kind, parameters, arguments) \
    type name parameters { \
        REAL(name); \
        if (GONE(file, kind)) return -1; \
        return real arguments; \
    }
ON_FILE(ssize_t, read, READ, (int file, void *to, size_t count), (file, to, count))
ON_FILE(ssize_t, pread, READ, (int file, void *to, size_t count, off_t at), (file, to, count, at))
ON_FILE(ssize_t, pread64, READ, (int file, void *to, size_t count, off64_t at), (file, to, count, at))
ON_FILE(ssize_t, readv, READ, (int file, const struct iovec *to, int count), (file, to, count))
ON_FILE(ssize_t, preadv, READ, (int file, const struct iovec *to, int count, off_t at), (file, to, count, at))
ON_FILE(ssize_t, preadv64, READ, (int file, const struct iovec *to, int count, off64_t at), (file, to, count, at))
ON_FILE(ssize_t, preadv2, READ, (int file, const struct iovec *to, int count, off_t at, int flags), (file, to, count, at, flags))
ON_FILE(ssize_t, preadv64v2, READ, (int file, const struct iovec *to, int count, off64_t at, int flags), (file, to, count, at, flags))
ON_FILE(ssize_t, write, WRITE, (int file, const void *from, size_t count), (file, from, count))
ON_FILE(ssize_t, pwrite, WRITE, (int file, const void *from, size_t count, off_t at), (file, from, count, at))
ON_FILE(ssize_t, pwrite64, WRITE, (int file, const void *from, size_t count, off64_t at), (file, from, count, at))
ON_FILE(ssize_t, writev, WRITE, (int file, const struct iovec *from, int count), (file, from, count))
ON_FILE(ssize_t, pwritev, WRITE, (int file, const struct iovec *from, int count, off_t at), (file, from, count, at))
ON_FILE(ssize_t, pwritev64, WRITE, (int file, const struct iovec *from, int count, off64_t at), (file, from, count, at))
ON_FILE(int, fsync, WRITE, (int file), (file))
ON_FILE(int, fdatasync, WRITE, (int file), (file))
ON_FILE(int, ftruncate, WRITE, (int file, off_t size), (file, size))
ON_FILE(int, ftruncate64, WRITE, (int file, off64_t size), (file, size))
ON_FILE(int, fstat, LOOK, (int file, struct stat *state), (file, state))
ON_FILE(int, fstat64, LOOK, (int file, struct stat64 *state), (file, state))

#define FALLOCATE(name, type) \
    int name(int file, type at, type size) { \
        REAL(name); \
        if (GONE(file, WRITE)) return errno; \
        return real(file, at, size); \
    }
FALLOCATE(posix_fallocate, off_t)
FALLOCATE(posix_fallocate64, off64_t)

#define ON_PATH(type, none, name, kind, parameters, arguments) \
    type name parameters { \
        REAL(name); \
        if (LOST(path, kind)) return none; \
        return real arguments; \
    }
ON_PATH(int, -1, stat, LOOK, (const char *path, struct stat *state), (path, state))
ON_PATH(int, -1, stat64, LOOK, (const char *path, struct stat64 *state), (path, state))
ON_PATH(int, -1, lstat, LOOK, (const char *path, struct stat *state), (path, state))
ON_PATH(int, -1, lstat64, LOOK, (const char *path, struct stat64 *state), (path, state))
ON_PATH(int, -1, unlink, WRITE, (const char *path), (path))
ON_PATH(int, -1, rmdir, WRITE, (const char *path), (path))
ON_PATH(int, -1, mkdir, WRITE, (const char *path, mode_t mode), (path, mode))
ON_PATH(int, -1, rename, WRITE, (const char *path, const char *to), (path, to))
ON_PATH(int, -1, link, WRITE, (const char *path, const char *to), (path, to))
ON_PATH(int, -1, truncate, WRITE, (const char *path, off_t size), (path, size))
ON_PATH(int, -1, truncate64, WRITE, (const char *path, off64_t size), (path, size))
ON_PATH(DIR *, NULL, opendir, LOOK, (const char *path), (path))

#define ON_ENTRY(name, kind, parameters, arguments) \
    int name parameters { \
        REAL(name); \
        if (folder == AT_FDCWD || path[0] == '/' ? LOST(path, kind) : GONE(folder, kind)) return -1; \
        return real arguments; \
    }
ON_ENTRY(fstatat, LOOK, (int folder, const char *path, struct stat *state, int flags), (folder, path, state, flags))
ON_ENTRY(fstatat64, LOOK, (int folder, const char *path, struct stat64 *state, int flags), (folder, path, state, flags))
ON_ENTRY(statx, LOOK, (int folder, const char *path, int flags, unsigned mask, struct statx *state), (folder, path, flags, mask, state))
ON_ENTRY(unlinkat, WRITE, (int folder, const char *path, int flags), (folder, path, flags))
ON_ENTRY(mkdirat, WRITE, (int folder, const char *path, mode_t mode), (folder, path, mode))
ON_ENTRY(renameat, WRITE, (int folder, const char *path, int to, const char *name), (folder, path, to, name))
ON_ENTRY(renameat2, WRITE, (int folder, const char *path, int to, const char *name, unsigned flags), (folder, path, to, name, flags))
ON_ENTRY(linkat, WRITE, (int folder, const char *path, int to, const char *name, int flags), (folder, path, to, name, flags))
