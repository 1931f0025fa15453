/* env.h: the only door to the outside: memory, clock, threads, randomness.
 *
 * Chosen at link time: env_posix.c is the door on plain system calls; a
 * simulator links another. The engine has no other undefined symbol but the
 * mem* functions; the build checks that.
 *
 * Threads    every function may be called from any thread.
 * Limits     tsu_env_alloc and tsu_env_pages_map return NULL when memory is short,
 *            or when a test has asked for it (tsu_env_fail_after).
 */
#ifndef TSU_BASE_ENV_H
#define TSU_BASE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory of any size, aligned for any type; the caller remembers the size. */
void *tsu_env_alloc(size_t bytes);
void *tsu_env_realloc(void *old, size_t old_bytes, size_t bytes);
void tsu_env_free(void *memory, size_t bytes);

/* Zeroed pages straight from the system, aligned to `align` (a power of two, at
 * least 4096). `huge`: ask for huge pages. */
void *tsu_env_pages_map(size_t bytes, size_t align, bool huge);
void tsu_env_pages_unmap(void *pages, size_t bytes);
/* Gives the memory behind whole pages back; they read as zero afterwards. */
void tsu_env_pages_discard(void *pages, size_t bytes);

/* Bytes now held through each of the two doors above. */
size_t tsu_env_bytes_allocated(void);
size_t tsu_env_bytes_mapped(void);

/* Test hook: the next n allocations succeed and all after them fail; n < 0 turns
 * it off. Counts per process. */
void tsu_env_fail_after(long n);

/* Nanoseconds of a clock that never goes back. */
uint64_t tsu_env_monotonic_ns(void);

/* 64 bits from the system's entropy: for seeds of hashes, nothing else. */
uint64_t tsu_env_entropy(void);

/* A fence for all running threads of the process, so that the other side of it
 * may be a plain store and a compiler barrier. False: the system has none, and
 * both sides need a real fence. Constant after the first call. */
bool tsu_env_membarrier_ready(void);
void tsu_env_membarrier(void);

/* Lets another thread run. */
void tsu_env_yield(void);

typedef struct tsu_env_mutex tsu_env_mutex;
struct tsu_env_mutex { _Alignas(8) unsigned char opaque[48]; };
void tsu_env_mutex_init(tsu_env_mutex *m);
void tsu_env_mutex_deinit(tsu_env_mutex *m);
void tsu_env_mutex_lock(tsu_env_mutex *m);
void tsu_env_mutex_unlock(tsu_env_mutex *m);

typedef struct tsu_env_cond tsu_env_cond;
struct tsu_env_cond { _Alignas(8) unsigned char opaque[56]; };
void tsu_env_cond_init(tsu_env_cond *c);
void tsu_env_cond_deinit(tsu_env_cond *c);
void tsu_env_cond_wait(tsu_env_cond *c, tsu_env_mutex *m);
/* Returns after `ns` at the latest. */
void tsu_env_cond_wait_ns(tsu_env_cond *c, tsu_env_mutex *m, uint64_t ns);
void tsu_env_cond_signal(tsu_env_cond *c);

typedef struct tsu_env_thread { _Alignas(8) unsigned char opaque[8]; } tsu_env_thread;
/* False when the system refuses; then nothing was started. */
bool tsu_env_thread_start(tsu_env_thread *t, void (*run)(void *), void *arg);
void tsu_env_thread_join(tsu_env_thread *t);
/* Calls `fn(arg)` when the calling thread ends. One per thread. */
void tsu_env_thread_at_exit(void (*fn)(void *), void *arg);

/* Prints and ends the process. Only for CHECK: it is the one way in which the
 * engine takes the node down, instead of going on with broken memory. */
_Noreturn void tsu_env_abort(const char *file, int line, const char *what);

#endif
