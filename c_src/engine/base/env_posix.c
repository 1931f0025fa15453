/* env_posix.c: the door to the outside on plain system calls. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/random.h>
#include <sys/syscall.h>
#endif

#include "base/atomic.h"
#include "base/env.h"

static tsu_word allocated, mapped;
static long     fail_after = -1;

static bool refused(void)
{
    long left = __atomic_load_n(&fail_after, __ATOMIC_RELAXED);

    if (left < 0) return false;
    do {
        if (left == 0) return true;
    } while (!__atomic_compare_exchange_n(&fail_after, &left, left - 1, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return false;
}

void tsu_env_fail_after(long n) { __atomic_store_n(&fail_after, n < 0 ? -1 : n, __ATOMIC_RELAXED); }

/* From here on blocks are mappings of their own: a long array grows without being copied, where the system can do that,
 * and goes back to it at once. */
#define MAPPED_FROM ((size_t)1 << 20)

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HAS_MREMAP 1
#else
#define HAS_MREMAP 0           /* sanitizers want to see every block */
#endif

static bool is_mapped(size_t bytes) { return HAS_MREMAP && bytes >= MAPPED_FROM; }

static void *block_get(size_t bytes)
{
    void *p;

    if (!is_mapped(bytes)) return malloc(bytes);
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void block_free(void *p, size_t bytes)
{
    if (is_mapped(bytes)) munmap(p, bytes);
    else free(p);
}

static void *block_resize(void *old, size_t old_bytes, size_t bytes)
{
    void *p;

#if HAS_MREMAP
    if (is_mapped(old_bytes) && is_mapped(bytes)) {
        p = mremap(old, old_bytes, bytes, MREMAP_MAYMOVE);
        return p == MAP_FAILED ? NULL : p;
    }
#endif
    if (!is_mapped(old_bytes) && !is_mapped(bytes)) return realloc(old, bytes);
    p = block_get(bytes);
    if (p == NULL) return NULL;
    if (old != NULL) {
        memcpy(p, old, old_bytes < bytes ? old_bytes : bytes);
        block_free(old, old_bytes);
    }
    return p;
}

void *tsu_env_alloc(size_t bytes)
{
    void *p = refused() ? NULL : block_get(bytes);

    if (p != NULL) tsu_count_add(&allocated, bytes);
    return p;
}

void *tsu_env_realloc(void *old, size_t old_bytes, size_t bytes)
{
    void *p = refused() ? NULL : block_resize(old, old_bytes, bytes);

    if (p != NULL) tsu_count_add(&allocated, bytes - old_bytes);
    return p;
}

void tsu_env_free(void *memory, size_t bytes)
{
    if (memory == NULL) return;
    block_free(memory, bytes);
    tsu_count_add(&allocated, (uint64_t)0 - bytes);
}

void *tsu_env_pages_map(size_t bytes, size_t align, bool huge)
{
    char *p, *start;
    size_t extra = align > 4096 ? align : 0;

    if (refused()) return NULL;
    p = mmap(NULL, bytes + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    start = p;
    if (extra != 0) {
        size_t lead = (align - ((uintptr_t)p & (align - 1))) & (align - 1);

        start = p + lead;
        if (lead != 0) munmap(p, lead);
        if (extra != lead) munmap(start + bytes, extra - lead);
    }
#ifdef MADV_HUGEPAGE
    if (huge) (void)madvise(start, bytes, MADV_HUGEPAGE);
#else
    (void)huge;
#endif
    tsu_count_add(&mapped, bytes);
    return start;
}

void tsu_env_pages_unmap(void *pages, size_t bytes)
{
    if (pages == NULL) return;
    munmap(pages, bytes);
    tsu_count_add(&mapped, (uint64_t)0 - bytes);
}

void tsu_env_pages_discard(void *pages, size_t bytes)
{
    if (madvise(pages, bytes, MADV_DONTNEED) != 0) memset(pages, 0, bytes);
}

size_t tsu_env_bytes_allocated(void) { return tsu_load_relaxed(&allocated); }
size_t tsu_env_bytes_mapped(void) { return tsu_load_relaxed(&mapped); }

uint64_t tsu_env_monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t tsu_env_entropy(void)
{
    uint64_t bits = 0;

#ifdef __linux__
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == sizeof bits) return bits;
#endif
    FILE *f = fopen("/dev/urandom", "rb");

    if (f != NULL) {
        size_t n = fread(&bits, 1, sizeof bits, f);

        fclose(f);
        if (n == sizeof bits) return bits;
    }
    return tsu_env_monotonic_ns() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)getpid() << 32;
}

#if defined(__linux__) && defined(SYS_membarrier)
enum { PRIVATE_EXPEDITED = 1 << 3, REGISTER_PRIVATE_EXPEDITED = 1 << 4 };
static bool membarrier_usable;

static void membarrier_probe(void)
{
    membarrier_usable = syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0
                        && syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool tsu_env_membarrier_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, membarrier_probe);
    return membarrier_usable;
}

void tsu_env_membarrier(void) { (void)syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0); }
#else
bool tsu_env_membarrier_ready(void) { return false; }
void tsu_env_membarrier(void) { tsu_fence_seq(); }
#endif

void tsu_env_yield(void) { sched_yield(); }

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(tsu_env_mutex), "room for a mutex");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(tsu_env_cond), "room for a condition");
_Static_assert(sizeof(pthread_t) <= sizeof(tsu_env_thread), "room for a thread");

void tsu_env_mutex_init(tsu_env_mutex *m) { pthread_mutex_init((pthread_mutex_t *)m, NULL); }
void tsu_env_mutex_deinit(tsu_env_mutex *m) { pthread_mutex_destroy((pthread_mutex_t *)m); }
void tsu_env_mutex_lock(tsu_env_mutex *m) { pthread_mutex_lock((pthread_mutex_t *)m); }
void tsu_env_mutex_unlock(tsu_env_mutex *m) { pthread_mutex_unlock((pthread_mutex_t *)m); }

void tsu_env_cond_init(tsu_env_cond *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    pthread_cond_init((pthread_cond_t *)c, &attr);
    pthread_condattr_destroy(&attr);
}

void tsu_env_cond_deinit(tsu_env_cond *c) { pthread_cond_destroy((pthread_cond_t *)c); }

void tsu_env_cond_wait(tsu_env_cond *c, tsu_env_mutex *m)
{
    pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m);
}

void tsu_env_cond_wait_ns(tsu_env_cond *c, tsu_env_mutex *m, uint64_t ns)
{
    struct timespec t;

#ifdef __APPLE__
    t.tv_sec = (time_t)(ns / 1000000000u);
    t.tv_nsec = (long)(ns % 1000000000u);
    pthread_cond_timedwait_relative_np((pthread_cond_t *)c, (pthread_mutex_t *)m, &t);
#else
    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += (uint64_t)t.tv_nsec;
    t.tv_sec += (time_t)(ns / 1000000000u);
    t.tv_nsec = (long)(ns % 1000000000u);
    pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, &t);
#endif
}

void tsu_env_cond_signal(tsu_env_cond *c) { pthread_cond_signal((pthread_cond_t *)c); }

struct start { void (*run)(void *); void *arg; };

static void *start_run(void *arg)
{
    struct start s = *(struct start *)arg;

    free(arg);
    s.run(s.arg);
    return NULL;
}

bool tsu_env_thread_start(tsu_env_thread *t, void (*run)(void *), void *arg)
{
    struct start *s = refused() ? NULL : malloc(sizeof *s);
    pthread_t     id;
    sigset_t      all, before;
    int           failed;

    if (s == NULL) return false;
    *s = (struct start){run, arg};
    /* signals belong to the VM's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&id, NULL, start_run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free(s);
        return false;
    }
    memcpy(t->opaque, &id, sizeof id);
    return true;
}

void tsu_env_thread_join(tsu_env_thread *t)
{
    pthread_t id;

    memcpy(&id, t->opaque, sizeof id);
    pthread_join(id, NULL);
}

static pthread_key_t  exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
struct at_exit { void (*fn)(void *); void *arg; };
static _Thread_local struct at_exit at_exit;

static void exit_run(void *unused)
{
    (void)unused;
    if (at_exit.fn != NULL) at_exit.fn(at_exit.arg);
    at_exit.fn = NULL;
}

static bool exit_key_made;
static void exit_key_make(void) { exit_key_made = pthread_key_create(&exit_key, exit_run) == 0; }

/* The library may be unloaded before its threads end: they must not call into it then. */
__attribute__((destructor)) static void exit_key_unmake(void)
{
    if (exit_key_made) pthread_key_delete(exit_key);
}

void tsu_env_thread_at_exit(void (*fn)(void *), void *arg)
{
    pthread_once(&exit_once, exit_key_make);
    at_exit = (struct at_exit){fn, arg};
    pthread_setspecific(exit_key, fn != NULL ? &at_exit : NULL);
}

void tsu_env_abort(const char *file, int line, const char *what)
{
    fprintf(stderr, "tsunami: %s:%d: broken invariant: %s\n", file, line, what);
    abort();
}

#ifdef TSU_RACE_DELAYS
/* Loses the processor at about one point in 64, for a while at one in 4096. A test may bring another. */
__attribute__((weak)) void tsu_env_race_point(void)
{
    static _Thread_local uint64_t x;

    if (x == 0) x = (uint64_t)(uintptr_t)&x * UINT64_C(0x9e3779b97f4a7c15) | 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    if ((x & 63) == 0) sched_yield();
    if ((x & 4095) == 0) {
        struct timespec t = {0, 20000};

        nanosleep(&t, NULL);
    }
}
#endif
