/* arrivals - when the kernel received what the truth server reads.
 *
 * Linked into truthd, whose read() and accept4() come here first (ld --wrap). Of every request
 * with an X-Request-Id it keeps the kernel's receive stamp of the last bytes, as CLOCK_MONOTONIC.
 * The server's own `read` less this stamp is how late the server was. At exit the stamps are
 * written as CSV to the file named by ARRIVALS: rid,arrived
 *
 *     gcc -O2 -Wl,--wrap=read,--wrap=accept4 -o truthd truthd.c arrivals.c */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RID = 64, RECORDS = 200000, FDS = 65536 };

static struct { char rid[RID]; int64_t arrived; } records[RECORDS];
static int n_records, at[FDS]; /* by descriptor: its latest request's record, from 1 */

ssize_t __real_read(int fd, void *buf, size_t cap);
int __real_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags);

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return ns(t);
}

int __wrap_accept4(int listener, struct sockaddr *from, socklen_t *len, int flags) {
    int one = 1, fd = __real_accept4(listener, from, len, flags);
    if (fd < 0) return fd;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    if (fd < FDS) at[fd] = 0;
    return fd;
}

/* A request that begins in these bytes gets a record; its later bytes move the stamp. */
static void note(int fd, const char *data, size_t n, int64_t arrived) {
    static const char name[] = "\r\nx-request-id:";
    for (size_t i = 0; i + sizeof name <= n; i++) {
        if (data[i] != '\r' || strncasecmp(data + i, name, sizeof name - 1)) continue;
        size_t from = i + sizeof name - 1, to;
        while (from < n && data[from] == ' ') from++;
        for (to = from; to < n && data[to] != '\r' && to - from < RID - 1;) to++;
        at[fd] = n_records < RECORDS ? ++n_records : 0;
        if (at[fd]) memcpy(records[at[fd] - 1].rid, data + from, to - from);
        break;
    }
    if (at[fd]) records[at[fd] - 1].arrived = arrived;
}

ssize_t __wrap_read(int fd, void *buf, size_t cap) {
    char control[64];
    struct iovec into = {buf, cap};
    struct msghdr msg = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = control,
                         .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &msg, 0);
    if (n < 0 && errno == ENOTSOCK) return __real_read(fd, buf, cap);
    struct cmsghdr *c = n > 0 && fd < FDS ? CMSG_FIRSTHDR(&msg) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
        note(fd, buf, n, clock_ns(CLOCK_MONOTONIC) - (clock_ns(CLOCK_REALTIME) - ns(stamp)));
    }
    return n;
}

__attribute__((destructor)) static void write_records(void) {
    const char *path = getenv("ARRIVALS");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "rid,arrived\n");
    for (int i = 0; i < n_records; i++)
        fprintf(f, "%s,%ld\n", records[i].rid, (long)records[i].arrived);
    fclose(f);
}
