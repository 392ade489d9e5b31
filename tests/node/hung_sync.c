/* Stands before fsync and fdatasync: they do not return while the file named by HUNG_SYNC is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_while_hung(void) {
    const char *path = getenv("HUNG_SYNC");
    while (path && access(path, F_OK) == 0) usleep(20000);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    wait_while_hung();
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    wait_while_hung();
    return real(fd);
}
