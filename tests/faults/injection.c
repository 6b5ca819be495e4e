/* Preloaded into a process, this stands between it and the disk: it numbers everything that the process changes in
   one folder, and can write it down, kill the process before a change, or let the disk be full from one on.

   FAULT_FOLDER   the folder; nothing else is looked at
   FAULT_LOG      a file to write every change to: kind, offset, lengths of path and data, path, data; of a sync, what
                  the file or folder then is, for some write by ways that are not seen here (mmap, plain system calls)
   FAULT_KILL     SIGKILL before the change of this number (from 1)
   FAULT_FULL     from the change of this number on, nothing can be written (ENOSPC) */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long changes, kill_at, full_at;
static int log_file = -2;
static const char *folder;

struct head { int64_t offset; uint32_t path, data; char kind; } __attribute__((packed));

static void put(const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = syscall(SYS_write, log_file, (const char *)data + done, size - done);
        if (n <= 0) abort();
        done += n;
    }
}

/* Read the environment, and number changes from here on: called before the first one, or after a fork. */
void fault_start(void) {
    const char *path = getenv("FAULT_LOG"), *at = getenv("FAULT_KILL"), *full = getenv("FAULT_FULL");
    folder = getenv("FAULT_FOLDER");
    kill_at = at ? atol(at) : 0;
    full_at = full ? atol(full) : 0;
    changes = 0;
    log_file = path ? syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
}

static int inside(const char *path) {
    return folder && !strncmp(path, folder, strlen(folder)) && path[strlen(folder)] == '/';
}

/* Note a change; -1 if the disk is full. The lock is held from here until `end`. */
static int begin(char kind, const char *path, int64_t offset, const void *data, size_t size) {
    pthread_mutex_lock(&lock);
    if (log_file == -2) fault_start();
    if (!inside(path)) return 0;
    changes++;
    if (changes == kill_at) syscall(SYS_kill, getpid(), SIGKILL);
    if (full_at && changes >= full_at && kind == 'w') return errno = ENOSPC, -1;
    if (log_file >= 0) {
        struct head head = {offset, strlen(path), size, kind};
        put(&head, sizeof head);
        put(path, head.path);
        put(data, size);
    }
    return 0;
}

static void name_of(int fd, char path[PATH_MAX + 1]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX);
    path[n > 0 ? n : 0] = 0;
}

static int begin_on(char kind, int fd, int64_t offset, const void *data, size_t size) {
    char path[PATH_MAX + 1];
    name_of(fd, path);
    return begin(kind, path, offset, data, size);
}

static void end(void) {
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
}

#define REAL(name, result, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write, ssize_t, int, const void *, size_t);
    int failed = begin_on('w', fd, lseek(fd, 0, SEEK_CUR), data, size);
    ssize_t n = failed ? -1 : real(fd, data, size);
    return end(), n;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t done = 0;
    for (int i = 0; i < count; i++) {
        ssize_t n = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (n < 0) return done ? done : -1;
        done += n;
        if ((size_t)n < parts[i].iov_len) break;
    }
    return done;
}

#define PWRITE(name, type) \
    ssize_t name(int fd, const void *data, size_t size, type offset) { \
        REAL(name, ssize_t, int, const void *, size_t, type); \
        int failed = begin_on('w', fd, offset, data, size); \
        ssize_t n = failed ? -1 : real(fd, data, size, offset); \
        return end(), n; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, type) \
    int name(int fd, type size) { \
        REAL(name, int, int, type); \
        begin_on('t', fd, size, "", 0); \
        int result = real(fd, size); \
        return end(), result; \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

/* A file that is opened to be written anew is cut to nothing. */
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name, int, const char *, int, ...); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        if (!(flags & O_TRUNC)) return real(path, flags, mode); \
        begin('t', path, 0, "", 0); \
        int result = real(path, flags, mode); \
        return end(), result; \
    }
OPEN(open)
OPEN(open64)

/* What the file of this name holds, or the names in a folder, a NUL after each; NULL for anything else. */
static char *contents(const char *path, size_t *size) {
    struct stat state;
    *size = 0;
    if (!folder || !inside(path) || stat(path, &state)) return NULL;
    if (S_ISDIR(state.st_mode)) {
        char *names = NULL;
        FILE *list = open_memstream(&names, size);
        DIR *entries = opendir(path);
        for (struct dirent *entry; entries && (entry = readdir(entries));)
            fwrite(entry->d_name, strlen(entry->d_name) + 1, 1, list);
        if (entries) closedir(entries);
        fclose(list);
        return names;
    }
    char *data = malloc(state.st_size + 1);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : pread(fd, data, state.st_size, 0);
    if (fd >= 0) close(fd);
    *size = n > 0 ? n : 0;
    return data;
}

#define SYNC(name) \
    int name(int fd) { \
        REAL(name, int, int); \
        char path[PATH_MAX + 1]; \
        struct stat state; \
        size_t size; \
        name_of(fd, path); \
        char *data = log_file >= 0 ? contents(path, &size) : (size = 0, NULL); \
        begin(!fstat(fd, &state) && S_ISDIR(state.st_mode) ? 'd' : 's', path, 0, data ? data : "", size); \
        int result = real(fd); \
        free(data); \
        return end(), result; \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    REAL(unlink, int, const char *);
    begin('u', path, 0, "", 0);
    int result = real(path);
    return end(), result;
}

int rename(const char *from, const char *to) {
    REAL(rename, int, const char *, const char *);
    begin('r', to, 0, from, strlen(from));
    int result = real(from, to);
    return end(), result;
}
