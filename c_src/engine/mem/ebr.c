/* ebr.c: a slot per thread; limbo is a queue of chunks of pieces, oldest first. */
#include "mem/ebr.h"
#include "mem/slab.h"

#define LIMBO_PIECES 126

struct piece {
    void       *memory;
    tsu_free_fn fn;
    uint64_t    epoch;
    size_t      bytes;
};

struct tsu_limbo {
    struct tsu_limbo *next;
    uint32_t          first, count;
    struct piece      pieces[LIMBO_PIECES];
};

TSU_TLS tsu_thread *tsu_thread_current;
tsu_word            tsu_ebr_epoch = {16};
bool                tsu_ebr_asymmetric;

static tsu_word      threads;           /* tsu_thread *: a list that only grows */
static tsu_word      thread_count;
static tsu_word      leaked;
static tsu_env_mutex registry_mutex;

/* A slot's own pages end with a chunk for when there is no memory for another. */
#define SLOT_BYTES 8192u
_Static_assert(sizeof(tsu_thread) + sizeof(struct tsu_limbo) <= SLOT_BYTES, "a slot has two pages");

static struct tsu_limbo *slot_reserve(tsu_thread *t)
{
    return (struct tsu_limbo *)(void *)((char *)t + SLOT_BYTES - sizeof(struct tsu_limbo));
}

static bool is_reserve(tsu_thread *t, const struct tsu_limbo *l) { return l == slot_reserve(t); }

/* --- the registry ------------------------------------------------------------ */
tsu_status tsu_ebr_init(void)
{
    tsu_ebr_asymmetric = tsu_env_membarrier_ready();
    tsu_env_mutex_init(&registry_mutex);
    return TSU_OK;
}

static tsu_thread *thread_list(void) { return (tsu_thread *)(uintptr_t)tsu_load_acquire(&threads); }

static void thread_leave(void *arg)
{
    tsu_thread *self = arg;

    CHECK(self->pin_depth == 0);
    tsu_thread_current = NULL;
    tsu_store_release(&self->taken, 0);
}

static bool slot_take(tsu_thread *t)
{
    uint64_t zero = 0;

    return tsu_load_relaxed(&t->taken) == 0 && tsu_cas(&t->taken, &zero, 1);
}

tsu_thread *tsu_thread_register(void)
{
    tsu_thread *t;

    for (t = thread_list(); t != NULL; t = t->next)
        if (slot_take(t)) break;
    if (t == NULL) {
        t = tsu_env_pages_map(SLOT_BYTES, 4096, false);
        if (t == NULL) return NULL;
        t->limbo_reserve = slot_reserve(t);
        tsu_store_relaxed(&t->taken, 1);
        tsu_env_mutex_lock(&registry_mutex);
        t->index = (uint32_t)tsu_load_relaxed(&thread_count);
        /* 49 bits for each of 4096 threads; beyond that, threads share by a coarser grain */
        t->stamp_next = ((uint64_t)t->index + 1) << 52;
        t->next = thread_list();
        tsu_store_release(&threads, (uint64_t)(uintptr_t)t);
        tsu_count_add(&thread_count, 1);
        tsu_env_mutex_unlock(&registry_mutex);
    }
    tsu_thread_current = t;
    tsu_env_thread_at_exit(thread_leave, t);
    return t;
}

/* --- retiring ------------------------------------------------------------------ */
TSU_APART static struct tsu_limbo *limbo_more(tsu_thread *self)
{
    struct tsu_limbo *l = self->limbo_spare;

    if (l != NULL) {
        self->limbo_spare = NULL;
    } else if ((l = tsu_env_alloc(sizeof *l)) == NULL) {
        l = self->limbo_reserve;
        self->limbo_reserve = NULL;
    }
    if (l == NULL) {
        tsu_count_add(&leaked, 1);
        return NULL;
    }
    l->next = NULL;
    l->first = l->count = 0;
    if (self->limbo_last != NULL) self->limbo_last->next = l;
    else self->limbo_first = l;
    self->limbo_last = l;
    return l;
}

void tsu_retire(tsu_thread *self, void *memory, size_t bytes, tsu_free_fn fn)
{
    struct tsu_limbo *l = self->limbo_last;
    struct piece     *p;

    DCHECK(self->pin_depth > 0);
    if (TSU_UNLIKELY(l == NULL || l->count == LIMBO_PIECES) && (l = limbo_more(self)) == NULL) return;
    p = &l->pieces[l->count++];
    p->memory = memory;
    p->fn = fn;
    p->epoch = tsu_load_seq(&tsu_ebr_epoch);
    p->bytes = bytes;
    self->retired_bytes += bytes + sizeof(struct piece);
    tsu_store_relaxed(&self->waiting_bytes, tsu_load_relaxed(&self->waiting_bytes) + bytes);
}

/* E1: the epoch moves on only when every pinned thread has seen it. */
static void epoch_advance(void)
{
    uint64_t    e = tsu_load_seq(&tsu_ebr_epoch);
    tsu_thread *t;

    if (tsu_ebr_asymmetric) tsu_env_membarrier();
    else tsu_fence_seq();
    for (t = thread_list(); t != NULL; t = t->next) {
        uint64_t s = tsu_load_acquire(&t->state);

        if ((s & 1) && s >> 1 != e) return;
    }
    tsu_cas(&tsu_ebr_epoch, &e, e + 1);
}

static size_t limbo_free(tsu_thread *self, tsu_thread *of, size_t budget)
{
    uint64_t          safe = tsu_load_seq(&tsu_ebr_epoch);
    size_t            freed = 0;
    struct tsu_limbo *l;

    while (freed < budget && (l = of->limbo_first) != NULL) {
        if (l->first == l->count) {
            if (l == of->limbo_last) {
                l->first = l->count = 0;
                break;
            }
            of->limbo_first = l->next;
            if (is_reserve(of, l)) of->limbo_reserve = l;
            else if (of->limbo_spare == NULL) of->limbo_spare = l;
            else tsu_env_free(l, sizeof *l);
            continue;
        }
        struct piece *p = &l->pieces[l->first];

        if (p->epoch + (PLANTED(3) ? 1 : 3) > safe) break;                       /* E2 */
        l->first++;
        tsu_store_relaxed(&of->waiting_bytes, tsu_load_relaxed(&of->waiting_bytes) - p->bytes);
        p->fn(self, p->memory, p->bytes);
        freed++;
    }
    return freed;
}

size_t tsu_ebr_collect(tsu_thread *self, size_t budget)
{
    int i;

    DCHECK(self->pin_depth == 0);
    self->retired_bytes = 0;
    /* when nobody is pinned, what was retired just now is free after three steps */
    for (i = 0; i < 3; i++) epoch_advance();
    return limbo_free(self, self, budget);
}

#define RELAX_PIECES 64
#define RELAX_NS     100000u

/* False: time is up, and something may be left. */
static bool limbo_relax(tsu_thread *self)
{
    uint64_t start = tsu_env_monotonic_ns();

    while (limbo_free(self, self, RELAX_PIECES) == RELAX_PIECES)
        if (tsu_env_monotonic_ns() - start > RELAX_NS) return false;
    return true;
}

/* One step of the epoch at a time: it interrupts the other processors, and what was retired can wait for three more calls.
 * Bounded, so that a slice stays short: pieces may be far apart in memory, and give back pages. While something is left
 * retired_bytes stays, and the next unpin goes on. */
void tsu_ebr_relax(tsu_thread *self)
{
    uint64_t bytes = self->retired_bytes;

    if (!limbo_relax(self)) return;
    epoch_advance();
    self->retired_bytes = limbo_relax(self) ? 0 : bytes;
}

void tsu_ebr_drain(tsu_thread *self)
{
    tsu_thread *t;
    bool        again = true;
    uint64_t    goal;

    while (again) {
        again = false;
        goal = tsu_load_seq(&tsu_ebr_epoch) + 4;
        while (tsu_load_seq(&tsu_ebr_epoch) < goal) {
            uint64_t before = tsu_load_seq(&tsu_ebr_epoch);

            epoch_advance();
            if (tsu_load_seq(&tsu_ebr_epoch) == before) tsu_env_yield();
        }
        if (limbo_free(self, self, SIZE_MAX) != 0) again = true;
        for (t = thread_list(); t != NULL; t = t->next)
            if (slot_take(t)) {
                if (limbo_free(self, t, SIZE_MAX) != 0) again = true;
                tsu_store_release(&t->taken, 0);
            }
    }
}

void tsu_ebr_deinit(void)
{
    tsu_thread *t = thread_list(), *next;

    tsu_env_thread_at_exit(NULL, NULL);
    tsu_thread_current = NULL;
    for (; t != NULL; t = next) {
        struct tsu_limbo *l = t->limbo_first, *after;

        next = t->next;
        for (; l != NULL; l = after) {
            after = l->next;
            if (!is_reserve(t, l)) tsu_env_free(l, sizeof *l);
        }
        if (t->limbo_spare != NULL) tsu_env_free(t->limbo_spare, sizeof *l);
        tsu_heap_destroy(t->heap);
        tsu_env_pages_unmap(t, SLOT_BYTES);
    }
    tsu_store_relaxed(&threads, 0);
    tsu_store_relaxed(&thread_count, 0);
    tsu_slab_deinit();
    tsu_env_mutex_deinit(&registry_mutex);
}

void tsu_ebr_stats_get(tsu_ebr_stats *out)
{
    tsu_thread *t;

    out->bytes_waiting = 0;
    for (t = thread_list(); t != NULL; t = t->next) out->bytes_waiting += tsu_load_relaxed(&t->waiting_bytes);
    out->epoch = tsu_load_relaxed(&tsu_ebr_epoch);
    out->pieces_leaked = tsu_load_relaxed(&leaked);
    out->threads = (uint32_t)tsu_load_relaxed(&thread_count);
}
