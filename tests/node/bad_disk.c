/* Stands before the calls of a disk. While the file named by HUNG_SYNC is there, fsync and fdatasync do not return; while
   the one named by BAD_READ is there, and by BAD_WRITE, reading from and writing to databases gives EIO. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_on(const char *name) {
    const char *path = getenv(name);
    return path && access(path, F_OK) == 0;
}

static int is_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return strstr(path, ".db") != NULL;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int fsync(int fd) {
    REAL(fsync);
    while (is_on("HUNG_SYNC")) usleep(20000);
    return real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    while (is_on("HUNG_SYNC")) usleep(20000);
    return real(fd);
}

#define FAIL(switch_) if (is_on(switch_) && is_database(fd)) { errno = EIO; return -1; }

ssize_t pread64(int fd, void *to, size_t size, off64_t at) { REAL(pread64); FAIL("BAD_READ") return real(fd, to, size, at); }
ssize_t pread(int fd, void *to, size_t size, off_t at) { REAL(pread); FAIL("BAD_READ") return real(fd, to, size, at); }
ssize_t pwrite64(int fd, const void *of, size_t size, off64_t at) { REAL(pwrite64); FAIL("BAD_WRITE") return real(fd, of, size, at); }
ssize_t pwrite(int fd, const void *of, size_t size, off_t at) { REAL(pwrite); FAIL("BAD_WRITE") return real(fd, of, size, at); }
