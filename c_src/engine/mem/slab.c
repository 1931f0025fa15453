/* slab.c: heaps of 64 KB pages; a pool of pages in 2 MB chunks. */
#include <string.h>

#include "mem/slab.h"

#define PAGE_BYTES    65536u
#define CHUNK_BYTES   (2u << 20)
#define CHUNK_PAGES   (CHUNK_BYTES / PAGE_BYTES)
#define FINE_COUNT    32u                 /* 8, 16, ... 256 */
#define CLASS_COUNT   (FINE_COUNT + 20u)  /* then four steps to a doubling: 320 ... 8192 */
#define POOL_KEEP     (32u << 20)         /* bytes of free pages that keep their memory */
#define HUGE_FROM     (16u << 20)         /* from here on chunks are prepared, with huge pages */

/* xfree: head of the list of pieces that other threads freed; bit 0: tell the heap when one comes */
#define NOTIFY UINT64_C(1)

/* Under ASan a free piece may not be touched, nor what is beyond the bytes that were asked for. */
#if defined(__SANITIZE_ADDRESS__)
#define TSU_SLAB_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TSU_SLAB_POISONS 1
#endif
#endif
#ifdef TSU_SLAB_POISONS
void __asan_poison_memory_region(void const volatile *memory, size_t bytes);
void __asan_unpoison_memory_region(void const volatile *memory, size_t bytes);
#define PIECE_SHUT(piece, bytes) __asan_poison_memory_region(piece, bytes)
#define PIECE_OPEN(piece, bytes) __asan_unpoison_memory_region(piece, bytes)
#define LINK_UNCHECKED __attribute__((no_sanitize_address))
#else
#define PIECE_SHUT(piece, bytes) ((void)(piece), (void)(bytes))
#define PIECE_OPEN(piece, bytes) ((void)(piece), (void)(bytes))
#define LINK_UNCHECKED
#endif

#ifdef TSU_DEBUG
tsu_word tsu_slab_live;
#define LIVE_ADD(bytes) tsu_count_add(&tsu_slab_live, bytes)
static tsu_word fail_armed, fail_left;

void tsu_slab_fail_after(long n)
{
    tsu_store_relaxed(&fail_left, n < 0 ? 0 : (uint64_t)n);
    tsu_store_relaxed(&fail_armed, n >= 0);
}

static bool slab_refused(void)
{
    uint64_t left;

    if (tsu_load_relaxed(&fail_armed) == 0) return false;
    left = tsu_load_relaxed(&fail_left);
    if (left > 0) tsu_store_relaxed(&fail_left, left - 1);
    return left == 0;
}
#else
#define LIVE_ADD(bytes) ((void)0)
static inline bool slab_refused(void) { return false; }
#endif

/* A free piece holds the next one in its first word. */
LINK_UNCHECKED static void *link_get(void *piece) { return *(void **)piece; }
LINK_UNCHECKED static void link_set(void *piece, void *next) { *(void **)piece = next; }

struct tsu_heap;

enum place { IN_NO_LIST, IS_CURRENT, IS_FULL, IS_PARTIAL };

struct page {
    /* the heap's thread only */
    void            *free;            /* list of free pieces, through their first word */
    uint32_t         bump, piece_bytes;
    uint32_t         used;            /* pieces out, those in xfree included */
    uint32_t         class;
    enum place       place;
    bool             armed;           /* NOTIFY was set, and its page has not come back through `notified` */
    struct page     *next, *prev;     /* partial list; in the pool: next alone */
    /* shared */
    struct tsu_heap *heap;            /* fixed while the page is a heap's */
    tsu_word         xfree;
    struct page     *notified_next;
};

#define PAGE_HEADER 128u
_Static_assert(sizeof(struct page) <= PAGE_HEADER, "the header has its room");

struct tsu_heap {
    struct page *current[CLASS_COUNT];
    struct page *partial[CLASS_COUNT];
    tsu_word     notified;            /* struct page *: full pages that got a piece back */
    struct page *told;                /* such pages, taken off it and not yet looked at; the thread's own */
};

struct chunk {
    struct chunk *next;
    char         *pages;
};

static struct {
    tsu_env_mutex mutex;
    tsu_word      ready;
    struct page  *warm;               /* free pages with memory behind them */
    size_t        warm_bytes;
    char        **cold_stack;         /* pages given back to the system: their own bytes are gone */
    size_t        cold_count, cold_room;
    size_t        page_count;         /* in all chunks */
    struct chunk *chunks;
    struct chunk *prepared;           /* its memory is there already: see tsu_slab_prepare */
    tsu_word      held_bytes, pooled_bytes;
} pool;

void (*tsu_slab_hungry)(void);

/* --- size classes -------------------------------------------------------------- */
static inline uint32_t class_of(size_t bytes)
{
    if (TSU_LIKELY(bytes <= 256)) return bytes == 0 ? 0 : (uint32_t)((bytes + 7) / 8 - 1);

    uint32_t log = 63u - (uint32_t)__builtin_clzll(bytes - 1);        /* 2^log < bytes <= 2^(log+1) */
    uint32_t step = (uint32_t)((bytes - 1) >> (log - 2)) & 3;

    return FINE_COUNT + (log - 8) * 4 + step;
}

static inline size_t class_bytes(uint32_t class)
{
    if (class < FINE_COUNT) return (size_t)(class + 1) * 8;
    class -= FINE_COUNT;
    return (size_t)(5 + class % 4) << (6 + class / 4);
}

size_t tsu_slab_round_slow(size_t bytes)
{
    return bytes > TSU_SLAB_BYTES_MAX ? bytes : class_bytes(class_of(bytes));
}

/* --- the pool of pages --------------------------------------------------------- */
static void pool_lock(void)
{
    uint64_t state = tsu_load_acquire(&pool.ready);

    if (TSU_UNLIKELY(state != 2)) {
        uint64_t zero = 0;

        if (tsu_cas(&pool.ready, &zero, 1)) {
            tsu_env_mutex_init(&pool.mutex);
            tsu_store_release(&pool.ready, 2);
        } else {
            while (tsu_load_acquire(&pool.ready) != 2) tsu_env_yield();
        }
    }
    tsu_env_mutex_lock(&pool.mutex);
}

static struct chunk *chunk_create(bool huge)
{
    struct chunk *c = tsu_env_alloc(sizeof *c);

    if (c == NULL) return NULL;
    c->pages = tsu_env_pages_map(CHUNK_BYTES, CHUNK_BYTES, huge);
    if (c->pages != NULL) return c;
    tsu_env_free(c, sizeof *c);
    return NULL;
}

static void chunk_destroy(struct chunk *c)
{
    if (c == NULL) return;
    PIECE_OPEN(c->pages, CHUNK_BYTES);
    tsu_env_pages_unmap(c->pages, CHUNK_BYTES);
    tsu_env_free(c, sizeof *c);
}

static bool chunk_add(void)
{
    struct chunk *c;
    size_t        i;

    /* room for every page there is: all of them may go cold, and then nothing may be in the way of that */
    if (pool.cold_room < pool.page_count + CHUNK_PAGES) {
        size_t room = pool.cold_room * 2 + CHUNK_PAGES;
        char **more = tsu_env_realloc(pool.cold_stack, pool.cold_room * sizeof *more, room * sizeof *more);

        if (more == NULL) return false;
        pool.cold_stack = more;
        pool.cold_room = room;
    }
    c = pool.prepared != NULL ? pool.prepared : chunk_create(false);
    if (c == NULL) return false;
    pool.prepared = NULL;
    c->next = pool.chunks;
    pool.chunks = c;
    pool.page_count += CHUNK_PAGES;
    for (i = CHUNK_PAGES; i-- > 0;) pool.cold_stack[pool.cold_count++] = c->pages + i * PAGE_BYTES;
    return true;
}

static bool wants_chunk(void)
{
    return pool.prepared == NULL && tsu_load_relaxed(&pool.held_bytes) >= HUGE_FROM;
}

void tsu_slab_prepare(void)
{
    struct chunk *c;
    size_t        i;
    bool          wanted;

    pool_lock();
    wanted = wants_chunk();
    tsu_env_mutex_unlock(&pool.mutex);
    if (!wanted) return;
    c = chunk_create(true);
    if (c == NULL) return;
    for (i = 0; i < CHUNK_BYTES; i += 4096) ((volatile char *)c->pages)[i] = 0;
    pool_lock();
    if (pool.prepared == NULL) {
        pool.prepared = c;
        c = NULL;
    }
    tsu_env_mutex_unlock(&pool.mutex);
    chunk_destroy(c);
}

static struct page *pool_get(void)
{
    struct page *p = NULL;
    bool         hungry = false;

    pool_lock();
    if (pool.warm != NULL) {
        p = pool.warm;
        pool.warm = p->next;
        pool.warm_bytes -= PAGE_BYTES;
    } else if (pool.cold_count > 0 || chunk_add()) {
        p = (struct page *)(void *)pool.cold_stack[--pool.cold_count];
        hungry = pool.cold_count < CHUNK_PAGES / 4 && wants_chunk();
    }
    if (p != NULL) tsu_count_add(&pool.held_bytes, PAGE_BYTES);
    tsu_store_relaxed(&pool.pooled_bytes, pool.warm_bytes);
    tsu_env_mutex_unlock(&pool.mutex);
    if (hungry && tsu_slab_hungry != NULL) tsu_slab_hungry();
    return p;
}

static void pool_put(struct page *p)
{
    bool keep;

    PIECE_OPEN(p, PAGE_BYTES);
    pool_lock();
    tsu_count_add(&pool.held_bytes, (uint64_t)0 - PAGE_BYTES);
    keep = pool.warm_bytes < POOL_KEEP || pool.warm_bytes < tsu_load_relaxed(&pool.held_bytes) / 16;
    if (!keep) {
        /* the system takes its time, in which others want pages; there is room for all of them on the stack */
        tsu_env_mutex_unlock(&pool.mutex);
        tsu_env_pages_discard(p, PAGE_BYTES);
        pool_lock();
        pool.cold_stack[pool.cold_count++] = (char *)p;
    } else {
        p->next = pool.warm;
        pool.warm = p;
        pool.warm_bytes += PAGE_BYTES;
    }
    tsu_store_relaxed(&pool.pooled_bytes, pool.warm_bytes);
    tsu_env_mutex_unlock(&pool.mutex);
}

void tsu_slab_stats_get(tsu_slab_stats *out)
{
    out->bytes_held = tsu_load_relaxed(&pool.held_bytes);
    out->bytes_pooled = tsu_load_relaxed(&pool.pooled_bytes);
}

void tsu_slab_deinit(void)
{
    struct chunk *c = pool.chunks, *next;

    for (; c != NULL; c = next) {
        next = c->next;
        chunk_destroy(c);
    }
    chunk_destroy(pool.prepared);
    tsu_env_free(pool.cold_stack, pool.cold_room * sizeof *pool.cold_stack);
    if (tsu_load_relaxed(&pool.ready) == 2) tsu_env_mutex_deinit(&pool.mutex);
    memset(&pool, 0, sizeof pool);
}

/* --- pages of a heap ------------------------------------------------------------ */
static inline struct page *page_of(void *memory)
{
    return (struct page *)((uintptr_t)memory & ~(uintptr_t)(PAGE_BYTES - 1));
}

static void partial_push(struct tsu_heap *h, struct page *p)
{
    p->place = IS_PARTIAL;
    p->prev = NULL;
    p->next = h->partial[p->class];
    if (p->next != NULL) p->next->prev = p;
    h->partial[p->class] = p;
}

static void partial_remove(struct tsu_heap *h, struct page *p)
{
    if (p->prev != NULL) p->prev->next = p->next;
    else h->partial[p->class] = p->next;
    if (p->next != NULL) p->next->prev = p->prev;
    p->place = IN_NO_LIST;
}

/* Takes what other threads have freed; keeps the NOTIFY bit as it is. */
static void page_collect(struct page *p)
{
    uint64_t x = tsu_load_acquire(&p->xfree);
    void    *piece, *next;

    if ((x & ~NOTIFY) == 0) return;
    while (!tsu_cas(&p->xfree, &x, x & NOTIFY)) {}
    for (piece = (void *)(uintptr_t)(x & ~NOTIFY); piece != NULL; piece = next) {
        next = link_get(piece);
        link_set(piece, p->free);
        p->free = piece;
        p->used--;
    }
}

static inline bool page_has_free(const struct page *p)
{
    return p->free != NULL || p->bump + p->piece_bytes <= PAGE_BYTES;
}

/* An empty page goes back to the pool, unless another thread is about to tell us of it. */
static bool page_release(struct page *p)
{
    if (p->armed) {
        uint64_t x = NOTIFY;

        if (!tsu_cas(&p->xfree, &x, 0)) return false;
        p->armed = false;
    }
    pool_put(p);
    return true;
}

/* The page has nothing left: other threads may wake it up. False: it has something after all. */
static bool page_retire_full(struct page *p)
{
    uint64_t zero = 0;

    p->place = IS_FULL;
    if (p->armed) {
        page_collect(p);
        return !page_has_free(p);
    }
    p->armed = true;
    if (tsu_cas(&p->xfree, &zero, NOTIFY)) return true;
    p->armed = false;
    page_collect(p);
    return false;
}

/* Some of them: another thread may have freed a whole table, and to walk the free pieces of all its pages would take
 * milliseconds. More than one page for each that is used up, so that it keeps up. */
#define TOLD_AT_ONCE 2

static void notified_take(struct tsu_heap *h)
{
    struct page *p;
    int          i;

    if (h->told == NULL) h->told = (struct page *)(uintptr_t)tsu_exchange(&h->notified, 0);
    for (i = 0; i < TOLD_AT_ONCE && (p = h->told) != NULL; i++) {
        h->told = p->notified_next;
        p->armed = false;
        page_collect(p);
        /* what came back may have been used up since: then the page is full again, and waits anew */
        if (p->place == IS_FULL && (page_has_free(p) || !page_retire_full(p))) partial_push(h, p);
        if (p->place == IS_PARTIAL && p->used == 0) {
            partial_remove(h, p);
            pool_put(p);
        }
    }
}

static struct page *page_fresh(struct tsu_heap *h, uint32_t class)
{
    struct page *p = pool_get();

    if (p == NULL) return NULL;
    memset(p, 0, sizeof *p);
    p->heap = h;
    p->class = class;
    p->piece_bytes = (uint32_t)class_bytes(class);
    p->bump = PAGE_HEADER;
    PIECE_SHUT((char *)p + PAGE_HEADER, PAGE_BYTES - PAGE_HEADER);
    return p;
}

static struct page *page_next(struct tsu_heap *h, uint32_t class)
{
    struct page *p = h->current[class];

    if (p != NULL) {
        page_collect(p);
        if (page_has_free(p)) return p;
        if (!page_retire_full(p)) {
            p->place = IS_CURRENT;
            return p;
        }
        h->current[class] = NULL;
    }
    if (h->told != NULL || tsu_load_relaxed(&h->notified) != 0) notified_take(h);
    p = h->partial[class];
    if (p != NULL) {
        partial_remove(h, p);
        page_collect(p);
    } else {
        p = page_fresh(h, class);
    }
    if (p != NULL) {
        p->place = IS_CURRENT;
        h->current[class] = p;
    }
    return p;
}

/* --- alloc and free --------------------------------------------------------------- */
static struct tsu_heap *heap_of(tsu_thread *self)
{
    if (TSU_LIKELY(self->heap != NULL)) return self->heap;
    self->heap = tsu_env_pages_map(4096, 4096, false);
    return self->heap;
}
_Static_assert(sizeof(struct tsu_heap) <= 4096, "a heap has a page");

/* Of a page that has one. */
static inline void *piece_take(struct page *p, size_t bytes)
{
    void *piece = p->free;

    if (TSU_LIKELY(piece != NULL)) {
        p->free = link_get(piece);
        __builtin_prefetch(p->free, 1);      /* who takes one mostly comes again */
    } else {
        piece = (char *)p + p->bump;
        p->bump += p->piece_bytes;
    }
    p->used++;
    PIECE_OPEN(piece, bytes);
    LIVE_ADD(p->piece_bytes);
    return piece;
}

TSU_APART static void *slab_alloc_slow(tsu_thread *self, size_t bytes)
{
    struct tsu_heap *h;
    struct page     *p;
    uint32_t         class;

    if (bytes > TSU_SLAB_BYTES_MAX) return tsu_env_alloc(bytes);
    h = heap_of(self);
    if (h == NULL) return NULL;
    class = class_of(bytes);
    p = h->current[class];
    if (p == NULL || !page_has_free(p)) p = page_next(h, class);
    return p != NULL ? piece_take(p, bytes) : NULL;
}

void *tsu_slab_alloc(tsu_thread *self, size_t bytes)
{
    struct page *p;

    if (slab_refused()) return NULL;
    if (TSU_LIKELY(self->heap != NULL && bytes - 1 < 256)) {
        p = self->heap->current[class_of(bytes)];
        if (TSU_LIKELY(p != NULL && page_has_free(p))) return piece_take(p, bytes);
    }
    return slab_alloc_slow(self, bytes);
}

static void free_foreign(struct page *p, void *piece)
{
    uint64_t x = tsu_load_relaxed(&p->xfree);

    do {
        link_set(piece, (void *)(uintptr_t)(x & ~NOTIFY));
    } while (!tsu_cas(&p->xfree, &x, (uint64_t)(uintptr_t)piece));
    if (x & NOTIFY) {
        uint64_t head = tsu_load_relaxed(&p->heap->notified);

        do {
            p->notified_next = (struct page *)(uintptr_t)head;
        } while (!tsu_cas(&p->heap->notified, &head, (uint64_t)(uintptr_t)p));
    }
}

void tsu_slab_free(tsu_thread *self, void *memory, size_t bytes)
{
    struct page *p;

    if (memory == NULL) return;
    if (TSU_UNLIKELY(bytes > TSU_SLAB_BYTES_MAX)) {
        tsu_env_free(memory, bytes);
        return;
    }
    p = page_of(memory);
    DCHECK(p->piece_bytes == class_bytes(class_of(bytes)));
    LIVE_ADD((uint64_t)0 - p->piece_bytes);
    PIECE_SHUT(memory, p->piece_bytes);
    if (TSU_UNLIKELY(p->heap != self->heap)) {
        free_foreign(p, memory);
        return;
    }
    link_set(memory, p->free);
    p->free = memory;
    p->used--;
    if (TSU_UNLIKELY(p->place == IS_FULL)) partial_push(p->heap, p);
    if (TSU_UNLIKELY(p->used == 0) && p->place == IS_PARTIAL) {
        partial_remove(p->heap, p);
        if (!page_release(p)) partial_push(p->heap, p);
    }
}

void tsu_heap_destroy(struct tsu_heap *heap)
{
    if (heap != NULL) tsu_env_pages_unmap(heap, 4096);
}
