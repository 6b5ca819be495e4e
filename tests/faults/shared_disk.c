/* Preloaded into a process, this makes a folder a shared disk that lies, and the process one of several machines:
   locks hold within a machine only, memory of files is not shared, and the clock differs.

   SHARED_FOLDER   the folder on the shared disk
   SHARED_NODE     a folder with what this machine alone has: mountinfo, boot_id, and its locks. Its name is the host's
   SHARED_CLOCK    seconds by which this machine's clock is ahead */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int shadows[65536];

static int is_shared(int fd) {
    char link[64], path[PATH_MAX + 1];
    const char *folder = getenv("SHARED_FOLDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX);
    if (n <= 0 || !folder) return 0;
    path[n] = 0;
    return !strncmp(path, folder, strlen(folder)) && path[strlen(folder)] == '/';
}

static const char *own(const char *path, char place[PATH_MAX]) {
    const char *node = getenv("SHARED_NODE");
    const char *name = !strcmp(path, "/proc/self/mountinfo")              ? "mountinfo"
                       : !strcmp(path, "/proc/sys/kernel/random/boot_id") ? "boot_id"
                                                                          : NULL;
    if (!node || !name) return path;
    snprintf(place, PATH_MAX, "%s/%s", node, name);
    return place;
}

#define OPEN(NAME)                                                                       \
    int NAME(const char *path, int flags, ...) {                                         \
        char place[PATH_MAX];                                                            \
        va_list more;                                                                    \
        va_start(more, flags);                                                           \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;                \
        va_end(more);                                                                    \
        return syscall(SYS_openat, AT_FDCWD, own(path, place), flags | O_LARGEFILE, mode); \
    }
OPEN(open)
OPEN(open64)

/* A lock of this machine alone, as with Lustre's `localflock`: on a file of the machine with the same name. */
int flock(int fd, int kind) {
    if (!is_shared(fd) || fd >= 65536) return syscall(SYS_flock, fd, kind);
    if (!shadows[fd]) {
        char link[64], path[PATH_MAX + 1], place[2 * PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, PATH_MAX);
        path[n > 0 ? n : 0] = 0;
        for (char *c = path; *c; c++) if (*c == '/') *c = '%';
        snprintf(place, sizeof place, "%s/locks/%s", getenv("SHARED_NODE"), path);
        shadows[fd] = syscall(SYS_openat, AT_FDCWD, place, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    }
    return syscall(SYS_flock, shadows[fd], kind);
}

int close(int fd) {
    if (fd >= 0 && fd < 65536 && shadows[fd]) {
        syscall(SYS_close, shadows[fd]);
        shadows[fd] = 0;
    }
    return syscall(SYS_close, fd);
}

/* Locks of bytes are granted to everybody. */
#define FCNTL(NAME)                                                                            \
    int NAME(int fd, int command, ...) {                                                       \
        va_list more;                                                                          \
        va_start(more, command);                                                               \
        void *value = va_arg(more, void *);                                                    \
        va_end(more);                                                                          \
        if ((command == F_SETLK || command == F_SETLKW) && is_shared(fd)) return 0;            \
        return syscall(SYS_fcntl, fd, command, value);                                         \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

#define MMAP(NAME)                                                                             \
    void *NAME(void *at, size_t size, int guard, int flags, int fd, off_t offset) {            \
        if (fd >= 0 && flags & MAP_SHARED && is_shared(fd)) return errno = ENODEV, MAP_FAILED; \
        return (void *)syscall(SYS_mmap, at, size, guard, flags, fd, offset);                  \
    }
MMAP(mmap)
MMAP(mmap64)

int uname(struct utsname *found) {
    int failed = syscall(SYS_uname, found);
    const char *node = getenv("SHARED_NODE");
    if (!failed && node) snprintf(found->nodename, sizeof found->nodename, "%s", strrchr(node, '/') + 1);
    return failed;
}

int gethostname(char *name, size_t size) {
    struct utsname found;
    uname(&found);
    snprintf(name, size, "%s", found.nodename);
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    const char *ahead = getenv("SHARED_CLOCK");
    if (!failed && clock == CLOCK_REALTIME && ahead) now->tv_sec += atol(ahead);
    return failed;
}
