/* A disk that fails on purpose, before the calls of the C library (LD_PRELOAD). It knows what of each file below a folder
   was synced, so that a power cut can take back what was not: writes one by one, in any order, whole or torn, and names
   from some point on. After a failed sync, what was not on the disk stays unwritten although a later sync succeeds.

   A file's data and its creation are on the disk after fsync of the file; renaming and deleting after fsync of the folder
   (as ext4, xfs and btrfs do). One process, whose threads take turns at one lock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) static __typeof__(&name) real_##name; if (!real_##name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define EXPORT __attribute__((visibility("default")))
enum { FULL = 1, READ_ONLY = 2, BAD_WRITE = 4, BAD_SYNC = 8, BAD_READ = 16 };
enum { CREATED, DELETED, RENAMED };
enum { PATH = 1024, FILES = 4096 };

typedef struct Change { struct Change *next; off_t at; size_t size; int cuts; char data[]; } Change;
typedef struct { ino_t ino; int fd; char *synced; size_t size; Change *first, *last; int is_unsure; } File;
typedef struct Name { struct Name *prev; int kind; ino_t ino; char from[PATH], to[PATH], aside[PATH]; } Name;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH], aside[PATH];
static size_t root_len;
static dev_t root_dev;
static File files[FILES];
static int file_count, is_dead;
static Name *names;
static long calls, dies_at, aside_count;
static int faults, permille;
static uint64_t dice = 1;

static uint32_t draw(uint32_t n) {
    dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(dice >> 33) % n;
}

static int is_inside(const char *path) { return root_len && path && !strncmp(path, root, root_len) && path[root_len] == '/'; }

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH - 1);
    path[n < 0 ? 0 : n] = 0;
    return n > 0;
}

/* What a call to change something is answered: 0 to do it, else an errno. Called with the lock. */
static int refusal(int kinds, int code) {
    if (is_dead) return EIO;
    calls++;
    if (dies_at && calls >= dies_at) { is_dead = 1; dies_at = 0; return EIO; }
    if (faults & kinds && (int)draw(1000) < permille) return code;
    return 0;
}

static int write_refusal(void) {
    int code = refusal(READ_ONLY, EROFS);
    if (!code && faults & FULL && (int)draw(1000) < permille) code = ENOSPC;
    if (!code && faults & BAD_WRITE && (int)draw(1000) < permille) code = EIO;
    return code;
}

static File *find(ino_t ino) {
    for (int i = file_count - 1; i >= 0; i--) if (files[i].ino == ino) return &files[i];
    return NULL;
}

/* The file behind fd, from now on followed; NULL when it is none of ours. */
static File *follow(int fd, int is_new) {
    struct stat st;
    char path[PATH];
    if (!root_len || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_dev != root_dev) return NULL;
    File *file = find(st.st_ino);
    if (file && !is_new) return file;
    if (!path_of(fd, path) || !is_inside(path)) return file;
    if (file) { file->size = 0; return file; }
    if (file_count == FILES) { fputs("fault_disk: too many files\n", stderr); abort(); }
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    REAL(open);
    file = &files[file_count];
    memset(file, 0, sizeof *file);
    file->ino = st.st_ino;
    if ((file->fd = real_open(link, O_RDWR | O_CLOEXEC)) < 0) return NULL;
    file->size = is_new ? 0 : (size_t)st.st_size;
    file->synced = malloc(file->size + 1);
    REAL(pread);
    if (file->size && real_pread(file->fd, file->synced, file->size, 0) != (ssize_t)file->size) return NULL;
    file_count++;
    return file;
}

/* Note a write, or with data NULL a new size. */
static void note(File *file, off_t at, const char *data, size_t size) {
    Change *change = malloc(sizeof *change + (data ? size : 0) + 1);
    change->next = NULL; change->at = at; change->size = size; change->cuts = !data;
    if (data) memcpy(change->data, data, size);
    if (file->last) file->last->next = change; else file->first = change;
    file->last = change;
}

static void apply(File *file, const Change *change, size_t from, size_t to) {
    size_t end = change->cuts ? change->size : (size_t)change->at + to;
    if (change->cuts || end > file->size) {
        file->synced = realloc(file->synced, end + 1);
        if (end > file->size) memset(file->synced + file->size, 0, end - file->size);
        file->size = end;
    }
    if (!change->cuts) memcpy(file->synced + change->at + from, change->data + from, to - from);
}

static void drop(File *file, int are_synced) {
    for (Change *change = file->first, *next; change; change = next) {
        next = change->next;
        if (are_synced) apply(file, change, 0, change->cuts ? 0 : change->size);
        free(change);
    }
    file->first = file->last = NULL;
}

static void note_name(int kind, ino_t ino, const char *from, const char *to, const char *kept) {
    Name *name = calloc(1, sizeof *name);
    name->prev = names; name->kind = kind; name->ino = ino;
    snprintf(name->from, PATH, "%s", from); snprintf(name->to, PATH, "%s", to); snprintf(name->aside, PATH, "%s", kept);
    names = name;
}

static int lies_in(const char *path, const char *folder) {
    const char *slash = strrchr(path, '/');
    return slash && (size_t)(slash - path) == strlen(folder) && !strncmp(path, folder, slash - path);
}

static void settle_names(const char *folder, ino_t created) {
    for (Name **at = &names; *at;) {
        Name *name = *at;
        int is_settled = folder ? lies_in(name->from, folder) : name->kind == CREATED && name->ino == created;
        if (!is_settled) { at = &name->prev; continue; }
        REAL(unlink);
        if (*name->aside) real_unlink(name->aside);
        *at = name->prev;
        free(name);
    }
}

static void undo(Name *name) {
    REAL(rename); REAL(unlink);
    if (name->kind == CREATED) real_unlink(name->from);
    if (name->kind == RENAMED) real_rename(name->to, name->from);
    if (*name->aside) real_rename(name->aside, name->kind == RENAMED ? name->to : name->from);
}

/* ---- what the simulation calls ---- */

EXPORT void fault_disk_watch(const char *folder) {
    struct stat st;
    pthread_mutex_lock(&lock);
    REAL(close); REAL(unlink);
    for (int i = 0; i < file_count; i++) { drop(&files[i], 0); free(files[i].synced); real_close(files[i].fd); }
    for (Name *name = names, *prev; name; name = prev) { prev = name->prev; if (*name->aside) real_unlink(name->aside); free(name); }
    names = NULL; file_count = is_dead = faults = 0; calls = dies_at = 0;
    snprintf(root, PATH, "%s", folder);
    root_len = strlen(root);
    if (root_len) {
        snprintf(aside, PATH, "%.900s.aside", folder);
        mkdir(aside, 0700);
        if (!stat(folder, &st)) root_dev = st.st_dev;
    }
    pthread_mutex_unlock(&lock);
}

EXPORT void fault_disk_faults(int kinds, int per_mille) { faults = kinds; permille = per_mille; }
EXPORT void fault_disk_seed(uint64_t seed) { dice = seed * 2 + 1; }
EXPORT void fault_disk_die_after(long n) { dies_at = n ? calls + n : 0; }
EXPORT void fault_disk_die(void) { is_dead = 1; }
EXPORT int fault_disk_is_dead(void) { return is_dead; }
EXPORT long fault_disk_calls(void) { return calls; }

/* The process was killed: what it wrote is with the system, which lives on. */
EXPORT void fault_disk_revive(void) { is_dead = 0; dies_at = 0; }

/* Power was cut: of what was not synced, keep each write with chance keep of 1000, or the part of it before a sector. */
EXPORT void fault_disk_power_cut(int keep) {
    pthread_mutex_lock(&lock);
    REAL(pwrite); REAL(ftruncate);
    for (int i = 0; i < file_count; i++) {
        File *file = &files[i];
        if (!file->first && !file->is_unsure) continue;
        for (Change *change = file->first, *next; change; change = next) {
            next = change->next;
            if ((int)draw(1000) < keep) {
                size_t size = change->cuts ? 0 : change->size, part = size > 512 && !draw(3) ? 512 * draw(size / 512) : size;
                if (part || change->cuts) apply(file, change, 0, part);
            }
            free(change);
        }
        file->first = file->last = NULL; file->is_unsure = 0;
        if (real_ftruncate(file->fd, file->size) || real_pwrite(file->fd, file->synced, file->size, 0) != (ssize_t)file->size)
            abort();
    }
    long count = 0;
    for (Name *name = names; name; name = name->prev) count++;
    for (long lost = count ? draw(count + 1) : 0; names; ) {
        Name *name = names;
        names = name->prev;
        REAL(unlink);
        if (lost-- > 0) undo(name); else if (*name->aside) real_unlink(name->aside);
        free(name);
    }
    is_dead = 0; dies_at = 0;
    pthread_mutex_unlock(&lock);
}

/* ---- the calls of the C library ---- */

static int opened(const char *path, int flags, mode_t mode, int (*call)(const char *, int, ...)) {
    if (!is_inside(path) || !(flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))) return call(path, flags, mode);
    pthread_mutex_lock(&lock);
    int is_there = !access(path, F_OK), code = 0, fd = -1;
    if (!is_there && flags & O_CREAT) code = write_refusal();
    else if (flags & O_TRUNC && is_there) code = write_refusal();
    else if (is_dead || faults & READ_ONLY) code = is_dead ? EIO : EROFS;
    if (!code && flags & O_TRUNC && is_there) {  /* follow what is there before it is gone */
        REAL(open); REAL(close);
        int before = real_open(path, O_RDWR | O_CLOEXEC);
        File *file = before < 0 ? NULL : follow(before, 0);
        if (file) note(file, 0, NULL, 0);
        if (before >= 0) real_close(before);
    }
    if (!code && (fd = call(path, flags, mode)) >= 0 && !is_there) {
        struct stat st;
        follow(fd, 1);
        if (!fstat(fd, &st)) note_name(CREATED, st.st_ino, path, "", "");
    } else if (!code && fd >= 0) follow(fd, 0);
    pthread_mutex_unlock(&lock);
    if (code) errno = code;
    return fd;
}

#define OPEN(name) EXPORT int name(const char *path, int flags, ...) { \
    va_list list; va_start(list, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; va_end(list); \
    REAL(name); return opened(path, flags, mode, real_##name); }
OPEN(open)
OPEN(open64)

static ssize_t written(int fd, const void *data, size_t size, off_t at, int is_placed) {
    REAL(write); REAL(pwrite);
    pthread_mutex_lock(&lock);
    File *file = follow(fd, 0);
    int code = file ? write_refusal() : 0;
    ssize_t done = -1;
    if (!code) {
        if (file && !is_placed) at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(file->fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
        done = is_placed ? real_pwrite(fd, data, size, at) : real_write(fd, data, size);
        if (file && done > 0) note(file, at, data, done);
    }
    pthread_mutex_unlock(&lock);
    if (code) errno = code;
    return done;
}

EXPORT ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    return fd <= 2 || !root_len ? real_write(fd, data, size) : written(fd, data, size, 0, 0);
}
EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return written(fd, data, size, at, 1); }
EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return written(fd, data, size, at, 1); }

EXPORT ssize_t pread64(int fd, void *to, size_t size, off64_t at) {
    REAL(pread64);
    if (faults & BAD_READ && follow(fd, 0) && (int)draw(1000) < permille) { errno = EIO; return -1; }
    return real_pread64(fd, to, size, at);
}

static int resized(int fd, off_t size) {
    REAL(ftruncate);
    pthread_mutex_lock(&lock);
    File *file = follow(fd, 0);
    int code = file ? write_refusal() : 0, done = code ? -1 : real_ftruncate(fd, size);
    if (!code && !done && file) note(file, 0, NULL, size);
    pthread_mutex_unlock(&lock);
    if (code) errno = code;
    return done;
}
EXPORT int ftruncate(int fd, off_t size) { return resized(fd, size); }
EXPORT int ftruncate64(int fd, off64_t size) { return resized(fd, size); }

static int synced(int fd) {
    char path[PATH];
    struct stat st;
    pthread_mutex_lock(&lock);
    File *file = follow(fd, 0);
    int is_folder = !file && root_len && !fstat(fd, &st) && S_ISDIR(st.st_mode) && path_of(fd, path)
        && (is_inside(path) || !strcmp(path, root));
    int code = file || is_folder ? refusal(BAD_SYNC, EIO) : 0;
    if (file && !code) { drop(file, 1); settle_names(NULL, file->ino); }
    else if (file && !is_dead && file->first) { drop(file, 0); file->is_unsure = 1; }
    if (is_folder && !code) settle_names(path, 0);
    pthread_mutex_unlock(&lock);
    if (code) errno = code;
    return code ? -1 : 0;
}
EXPORT int fsync(int fd) { return synced(fd); }
EXPORT int fdatasync(int fd) { return synced(fd); }

EXPORT int rename(const char *from, const char *to) {
    REAL(rename);
    if (!is_inside(from)) return real_rename(from, to);
    char kept[PATH] = "";
    pthread_mutex_lock(&lock);
    int code = refusal(READ_ONLY, EROFS), done = -1;
    if (!code) {
        snprintf(kept, PATH, "%.900s/%ld", aside, ++aside_count);
        if (link(to, kept)) *kept = 0;
        done = real_rename(from, to);
        if (!done) note_name(RENAMED, 0, from, to, kept);
    }
    pthread_mutex_unlock(&lock);
    if (code) errno = code;
    return done;
}

EXPORT int unlink(const char *path) {
    REAL(unlink); REAL(rename);
    if (!is_inside(path)) return real_unlink(path);
    char kept[PATH];
    pthread_mutex_lock(&lock);
    int code = access(path, F_OK) ? ENOENT : refusal(READ_ONLY, EROFS), done = -1;
    if (!code) {
        snprintf(kept, PATH, "%.900s/%ld", aside, ++aside_count);
        done = real_rename(path, kept);
        if (!done) note_name(DELETED, 0, path, "", kept);
    }
    pthread_mutex_unlock(&lock);
    if (code) errno = code;
    return done;
}
