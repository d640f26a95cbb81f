/* tls - puts TLS before the truth server, and keeps the truth of its own side.
 *
 * The truth server speaks plain TCP. This program stands between it and a client, one thread
 * on epoll, and passes bytes on as they come: one write of the server becomes one TLS record.
 * Of every request it keeps two CLOCK_MONOTONIC stamps: `read`, when the last byte of the
 * request was decrypted, and `first_before`, just before the record that holds the first
 * content token is encrypted and written. Their difference is what a client should report. A third,
 * `arrived`, is the kernel's receive stamp of the request: `read` less it is how late we were.
 * On SIGTERM they are written as CSV: rid,arrived,read,first_before
 *
 *     gcc -O2 -o tls tls.c -lssl -lcrypto
 *     ./tls PORT SERVER_PORT CERTIFICATE.pem KEY.pem LOG.csv [--rt] */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { BUF = 16384, RID = 64, RECORDS = 200000, BATCH = 256 };

struct record { char rid[RID]; int64_t arrived, read, before; };

struct end { struct link *link; int server; }; /* what epoll hands back */

struct link { /* one client's connection and the server's end of it */
    int client, server, dead;
    struct end ends[2];
    SSL *ssl;
    char in[BUF];
    size_t in_len;
    int64_t arrived;      /* what is read next, by the kernel; 0: it does not say */
    struct record *asked; /* the request whose first token is still to come */
    struct link *next;    /* among those to be freed */
};

static struct record *records;
static size_t n_records;
static SSL_CTX *context;
static int ep, server_port;
static struct link *dead;

static int64_t now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void hang_up(struct link *l) {
    if (l->dead++) return;
    SSL_shutdown(l->ssl);
    SSL_free(l->ssl);
    close(l->client);
    close(l->server);
    l->next = dead, dead = l;
}

static void watch(struct link *l, int fd, int server) {
    l->ends[server] = (struct end){l, server};
    struct epoll_event ev = {EPOLLIN, {.ptr = &l->ends[server]}};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

static void take_client(int lfd) {
    int one = 1, fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct link *l = calloc(1, sizeof *l);
    if (!l) die("calloc");
    struct sockaddr_in at = loopback(server_port);
    l->client = fd;
    l->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(l->server, (void *)&at, sizeof at)) die("server");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    setsockopt(l->server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    l->ssl = SSL_new(context);
    SSL_set_fd(l->ssl, fd);
    SSL_set_accept_state(l->ssl);
    watch(l, fd, 0);
    watch(l, l->server, 1);
}

/* The value of a header; 0 if the head has none. The head ends with an empty line. */
static int header(const char *head, const char *name, char *value, size_t cap) {
    size_t n = strlen(name);
    for (const char *p = strstr(head, "\r\n"); p && p[2] != '\r'; p = strstr(p + 2, "\r\n")) {
        if (strncasecmp(p + 2, name, n) || p[2 + n] != ':') continue;
        p += 3 + n;
        p += strspn(p, " ");
        snprintf(value, cap, "%.*s", (int)strcspn(p, "\r\n"), p);
        return 1;
    }
    return 0;
}

/* Passes a request on once it is whole, and notes when that was. */
static void pass_request(struct link *l, int64_t t) {
    char value[RID];
    l->in[l->in_len] = 0;
    char *end = strstr(l->in, "\r\n\r\n");
    if (!end) return;
    size_t body = header(l->in, "Content-Length", value, sizeof value) ? strtoul(value, NULL, 10) : 0;
    if (l->in_len < (size_t)(end - l->in) + 4 + body) return;
    if (n_records < RECORDS && header(l->in, "X-Request-Id", value, sizeof value)) {
        l->asked = &records[n_records++];
        *l->asked = (struct record){.arrived = l->arrived, .read = t};
        memcpy(l->asked->rid, value, sizeof value);
    }
    if (write(l->server, l->in, l->in_len) != (ssize_t)l->in_len) hang_up(l);
    l->in_len = 0;
}

/* When the bytes that wait here arrived, by CLOCK_MONOTONIC; 0 if the kernel does not say. */
static int64_t arrived(int fd) {
    char data[BUF], control[64];
    struct iovec into = {data, sizeof data};
    struct msghdr msg = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = control,
                         .msg_controllen = sizeof control};
    struct cmsghdr *c = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT) > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) return 0;
    struct timespec stamp, wall;
    memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    clock_gettime(CLOCK_REALTIME, &wall);
    return now() - (wall.tv_sec - stamp.tv_sec) * 1000000000LL - (wall.tv_nsec - stamp.tv_nsec);
}

static void hear_client(struct link *l) {
    while (!l->dead && l->in_len < BUF - 1) {
        if (SSL_is_init_finished(l->ssl)) l->arrived = arrived(l->client);
        ERR_clear_error();
        int n = SSL_read(l->ssl, l->in + l->in_len, BUF - 1 - l->in_len); /* shakes hands too */
        int64_t t = now();
        if (n <= 0) {
            if (SSL_get_error(l->ssl, n) != SSL_ERROR_WANT_READ) hang_up(l);
            return;
        }
        l->in_len += n;
        pass_request(l, t);
    }
}

static void hear_server(struct link *l) {
    static const char token[] = "\"content\":\"tok0";
    char buf[BUF];
    ssize_t n = recv(l->server, buf, sizeof buf, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { hang_up(l); return; }
    if (l->asked && memmem(buf, n, token, sizeof token - 1)) {
        l->asked->before = now();
        l->asked = NULL;
    }
    ERR_clear_error();
    if (SSL_write(l->ssl, buf, n) != n) hang_up(l);
}

static void write_records(const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) die(path);
    fprintf(f, "rid,arrived,read,first_before\n");
    for (struct record *r = records; r < records + n_records; r++)
        fprintf(f, "%s,%ld,%ld,%ld\n", r->rid, (long)r->arrived, (long)r->read, (long)r->before);
    if (fclose(f)) die(path);
}

int main(int argc, char **argv) {
    if (argc < 6) { fprintf(stderr, "usage: tls PORT SERVER_PORT CERT KEY LOG [--rt]\n"); return 2; }
    server_port = atoi(argv[2]);
    records = calloc(RECORDS, sizeof *records);
    context = SSL_CTX_new(TLS_server_method());
    if (!records || !context || SSL_CTX_use_certificate_file(context, argv[3], SSL_FILETYPE_PEM) != 1
        || SSL_CTX_use_PrivateKey_file(context, argv[4], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    int sfd = signalfd(-1, &stop, SFD_CLOEXEC), one = 1;
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = loopback(atoi(argv[1]));
    if (bind(lfd, (void *)&at, sizeof at) || listen(lfd, 4096)) die("listen");
    ep = epoll_create1(EPOLL_CLOEXEC);
    int *own[] = {&lfd, &sfd};
    for (int i = 0; i < 2; i++) {
        struct epoll_event ev = {EPOLLIN, {.ptr = own[i]}};
        epoll_ctl(ep, EPOLL_CTL_ADD, *own[i], &ev);
    }
    if (argc > 6 && !strcmp(argv[6], "--rt")) {
        struct sched_param priority = {.sched_priority = 10};
        if (sched_setscheduler(0, SCHED_FIFO, &priority)) perror("SCHED_FIFO");
        mlockall(MCL_CURRENT | MCL_FUTURE);
    }
    for (;;) {
        struct epoll_event ev[BATCH];
        int n = epoll_wait(ep, ev, BATCH, -1);
        struct link *greeting = NULL;
        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr == &lfd) { take_client(lfd); continue; }
            if (ev[i].data.ptr == &sfd) { write_records(argv[5]); return 0; }
            struct end *e = ev[i].data.ptr;
            if (e->link->dead) continue;
            if (e->server) hear_server(e->link);
            else if (SSL_in_before(e->link->ssl)) greeting = e->link;
            else hear_client(e->link);
        }
        /* A first hello is dear. One a turn: a crowd must not hold up the requests of others. */
        if (greeting && !greeting->dead) hear_client(greeting);
        while (dead) { struct link *l = dead; dead = l->next; free(l); }
    }
}
