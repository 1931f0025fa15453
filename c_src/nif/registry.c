#include "nif/registry.h"

#include "base/check.h"
#include "nif/atoms.h"
#include "nif/registry_inner.h"
#include "nif/view.h"

/* --- names: chains from an array that readers find through one word ------------------------ */

typedef struct name_node {
    ERL_NIF_TERM name;
    tsu_live    *live;
    tsu_word     next;              /* name_node * */
} name_node;

typedef struct name_table {
    uint64_t mask;
    tsu_word buckets[];             /* name_node * */
} name_table;

#define NAME_BUCKETS_MIN 64

/* --- slots: every live table has one, so that all/0 finds it without a lock ---------------- */
/* A slot's word: 0: never used; bit 0 set: free, the rest is the next free index + 1; else tsu_live *.
 * Chunk k holds SLOTS_MIN << k of them and never moves. */
#define SLOTS_MIN  64u
#define CHUNKS_MAX 26u

tsu_env_mutex tsu_registry_mutex;

static struct {
    tsu_word names;                 /* name_table * */
    tsu_word chunks[CHUNKS_MAX];    /* tsu_word * */
    tsu_word slots_used;            /* slots ever used */
    tsu_word table_count;
    /* guarded by the mutex */
    uint64_t name_count;
    uint64_t slot_free;             /* index + 1 of the first free slot; 0: none */
} registry;

static void free_memory(tsu_thread *self, void *memory, size_t bytes)
{
    (void)self;
    tsu_env_free(memory, bytes);
}

static uint64_t name_hash(ERL_NIF_TERM name)
{
    return ((uint64_t)name * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
}

static size_t name_table_bytes(uint64_t buckets)
{
    return sizeof(name_table) + buckets * sizeof(tsu_word);
}

static name_table *name_table_create(uint64_t buckets)
{
    name_table *t = tsu_env_alloc(name_table_bytes(buckets));

    if (t == NULL) return NULL;
    memset(t, 0, name_table_bytes(buckets));
    t->mask = buckets - 1;
    return t;
}

static name_node *name_first(const tsu_word *word)
{
    return (name_node *)(uintptr_t)tsu_load_acquire(word);
}

static name_table *names_now(void)
{
    return (name_table *)(uintptr_t)tsu_load_acquire(&registry.names);
}

tsu_live *tsu_registry_name(ERL_NIF_TERM name)
{
    name_table *t = names_now();
    name_node  *n;

    for (n = name_first(&t->buckets[name_hash(name) & t->mask]); n != NULL; n = name_first(&n->next))
        if (n->name == name) return n->live;
    return NULL;
}

/* A reference's place in the same chains: never an atom. */
static uint64_t tid_key(ERL_NIF_TERM tid)
{
    return enif_hash(ERL_NIF_INTERNAL_HASH, tid, 0) << 8 | 0xff;
}

tsu_live *tsu_registry_tid(ErlNifEnv *env, ERL_NIF_TERM tid)
{
    tsu_live *live;

    if (!enif_is_ref(env, tid)) return NULL;
    live = tsu_registry_name((ERL_NIF_TERM)tid_key(tid));
    return live != NULL && enif_is_identical(live->tid, tid) ? live : NULL;
}

/* Readers may be on the old chains, so nodes are copied, not moved. Short of memory the chains get longer. */
static void names_grow_locked(tsu_thread *self)
{
    name_table *old = names_now(), *t;
    name_node  *n, *next, *all = NULL;
    uint64_t    i;

    if (registry.name_count <= old->mask) return;
    t = name_table_create((old->mask + 1) * 2);
    if (t == NULL) return;
    for (i = 0; i <= old->mask; i++) {
        for (n = name_first(&old->buckets[i]); n != NULL; n = name_first(&n->next)) {
            name_node *copy = tsu_env_alloc(sizeof *copy);
            tsu_word  *bucket = &t->buckets[name_hash(n->name) & t->mask];

            if (copy == NULL) goto failed;
            copy->name = n->name;
            copy->live = n->live;
            tsu_store_relaxed(&copy->next, tsu_load_relaxed(bucket));
            tsu_store_relaxed(bucket, (uintptr_t)copy);
        }
    }
    tsu_store_release(&registry.names, (uintptr_t)t);
    for (i = 0; i <= old->mask; i++) {
        for (n = name_first(&old->buckets[i]); n != NULL; n = next) {
            next = name_first(&n->next);
            tsu_retire(self, n, sizeof *n, free_memory);
        }
    }
    tsu_retire(self, old, name_table_bytes(old->mask + 1), free_memory);
    return;
failed:
    for (i = 0; i <= t->mask; i++) {
        for (n = name_first(&t->buckets[i]); n != NULL; n = all) {
            all = name_first(&n->next);
            tsu_env_free(n, sizeof *n);
        }
    }
    tsu_env_free(t, name_table_bytes(t->mask + 1));
}

static void name_add_locked(tsu_thread *self, name_node *node, ERL_NIF_TERM name, tsu_live *live)
{
    name_table *t;
    tsu_word   *bucket;

    registry.name_count++;
    names_grow_locked(self);
    t = names_now();
    bucket = &t->buckets[name_hash(name) & t->mask];
    node->name = name;
    node->live = live;
    tsu_store_relaxed(&node->next, tsu_load_relaxed(bucket));
    tsu_store_release(bucket, (uintptr_t)node);
}

static void name_remove_locked(tsu_thread *self, ERL_NIF_TERM name)
{
    name_table *t = names_now();
    tsu_word   *at = &t->buckets[name_hash(name) & t->mask];
    name_node  *n;

    while ((n = name_first(at)) != NULL && n->name != name) at = &n->next;
    if (n == NULL) return;
    tsu_store_release(at, tsu_load_relaxed(&n->next));
    tsu_retire(self, n, sizeof *n, free_memory);
    registry.name_count--;
}

/* --- slots ----------------------------------------------------------------------------------- */

static unsigned slot_chunk(uint64_t index, uint64_t *offset)
{
    uint64_t i = index + SLOTS_MIN;
    unsigned k = 63u - (unsigned)__builtin_clzll(i) - 6u;

    *offset = i - ((uint64_t)SLOTS_MIN << k);
    return k;
}

static tsu_word *slot_at(uint64_t index)
{
    uint64_t offset;
    unsigned k = slot_chunk(index, &offset);

    return (tsu_word *)(uintptr_t)tsu_load_acquire(&registry.chunks[k]) + offset;
}

static bool slot_take_locked(tsu_live *live)
{
    uint64_t index;

    if (registry.slot_free != 0) {
        index = registry.slot_free - 1;
        registry.slot_free = tsu_load_relaxed(slot_at(index)) >> 1;
    } else {
        uint64_t offset;
        unsigned k;

        index = tsu_load_relaxed(&registry.slots_used);
        k = slot_chunk(index, &offset);
        if (k >= CHUNKS_MAX) return false;
        if (tsu_load_relaxed(&registry.chunks[k]) == 0) {
            size_t bytes = ((size_t)SLOTS_MIN << k) * sizeof(tsu_word);
            void  *chunk = tsu_env_alloc(bytes);

            if (chunk == NULL) return false;
            memset(chunk, 0, bytes);
            tsu_store_release(&registry.chunks[k], (uintptr_t)chunk);
        }
        tsu_store_release(&registry.slots_used, index + 1);
    }
    live->slot = (uint32_t)index;
    tsu_store_release(slot_at(index), (uintptr_t)live);
    return true;
}

static void slot_give_locked(uint64_t index)
{
    tsu_store_release(slot_at(index), registry.slot_free << 1 | 1);
    registry.slot_free = index + 1;
}

bool tsu_registry_list(ErlNifEnv *env, uint64_t *position, uint64_t slots_max, ERL_NIF_TERM *list)
{
    uint64_t end = tsu_load_acquire(&registry.slots_used);
    uint64_t stop = *position + slots_max < end ? *position + slots_max : end;
    uint64_t i;

    for (i = *position; i < stop; i++) {
        uint64_t  word = tsu_load_acquire(slot_at(i));
        tsu_live *live = (tsu_live *)(uintptr_t)word;

        if (word == 0 || (word & 1) != 0) continue;
        if (!tsu_live_usable(env, live)) continue;
        *list = enif_make_list_cell(env,
                                    live->named ? (ERL_NIF_TERM)tsu_load_acquire(&live->name)
                                                : tsu_live_tid(env, live),
                                    *list);
    }
    *position = i;
    return i >= end;
}

uint64_t tsu_registry_table_count(void) { return tsu_load_relaxed(&registry.table_count); }

/* --- the life of a table ------------------------------------------------------------------------ */

bool tsu_live_usable_slow(ErlNifEnv *env, tsu_live *live)
{
    for (;;) {
        uint64_t     word = tsu_load_acquire(&live->owner);
        ErlNifPid    owner = { .pid = (ERL_NIF_TERM)word };
        tsu_process *process;
        bool         waits;

        if (enif_is_process_alive(env, &owner)) return true;
        tsu_env_mutex_lock(&tsu_registry_mutex);
        if (live->gone) {
            tsu_env_mutex_unlock(&tsu_registry_mutex);
            return false;
        }
        if (tsu_load_relaxed(&live->owner) != word) {
            tsu_env_mutex_unlock(&tsu_registry_mutex);
            continue;
        }
        process = live->owner_process;
        waits = tsu_process_heir_waits_locked(env, live);
        if (!waits) {
            tsu_env_mutex_unlock(&tsu_registry_mutex);
            return false;
        }
        /* The monitor may be late: hand it over now. */
        enif_keep_resource(process);
        tsu_env_mutex_unlock(&tsu_registry_mutex);
        tsu_process_hand_over(env, tsu_thread_self(), process, live);
        enif_release_resource(process);
    }
}

/* Ends the table that has this name if its owner is dead and nobody inherits it. */
static bool name_free_locked(ErlNifEnv *env, tsu_thread *self, ERL_NIF_TERM name, tsu_live **dead)
{
    tsu_live *live = tsu_registry_name(name);
    ErlNifPid owner;

    if (live == NULL) return true;
    owner.pid = (ERL_NIF_TERM)tsu_load_relaxed(&live->owner);
    if (enif_is_process_alive(env, &owner) || tsu_process_heir_waits_locked(env, live)) return false;
    tsu_live_unlink_locked(self, live);
    *dead = live;
    return true;
}

tsu_status tsu_registry_add(ErlNifEnv *env, tsu_thread *self, tsu_live *live, const ErlNifPid *owner)
{
    tsu_status   s = TSU_OK;
    tsu_process *process = NULL;
    tsu_handle  *handle = enif_alloc_resource(tsu_type_table, sizeof *handle);
    name_node   *node = NULL;
    tsu_live    *dead = NULL;
    ERL_NIF_TERM name = (ERL_NIF_TERM)tsu_load_relaxed(&live->name);

    if (handle == NULL) return TSU_NOMEM;
    tsu_store_relaxed(&handle->live, 0);
    if (live->tid_env != NULL) name = (ERL_NIF_TERM)(live->tid_key = tid_key(live->tid));
    if (live->named || live->tid_env != NULL) {
        node = tsu_env_alloc(sizeof *node);
        if (node == NULL) {
            enif_release_resource(handle);
            return TSU_NOMEM;
        }
    }
    tsu_env_mutex_lock(&tsu_registry_mutex);
    TRY(s, tsu_process_obtain_locked(env, owner, &process));
    if (live->tid_env != NULL && tsu_registry_name(name) != NULL) {
        s = TSU_NOMEM;                       /* another reference with that hash: once in a blue moon */
        goto done;
    }
    if (live->named && !name_free_locked(env, self, name, &dead)) {
        s = TSU_EXISTS;
        goto done;
    }
    live->handle = handle;
    tsu_store_relaxed(&live->owner, owner->pid);
    if (!slot_take_locked(live)) {
        live->handle = NULL;
        s = TSU_NOMEM;
        goto done;
    }
    tsu_process_own_locked(process, live);
    tsu_store_release(&handle->live, (uintptr_t)live);
    handle = NULL;
    if (node != NULL) name_add_locked(self, node, name, live);
    node = NULL;
    tsu_count_add(&registry.table_count, 1);
done:
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    if (dead != NULL) tsu_live_finish(self, dead);
    if (node != NULL) tsu_env_free(node, sizeof *node);
    if (handle != NULL) enif_release_resource(handle);
    return s;
}

void tsu_live_unlink_locked(tsu_thread *self, tsu_live *live)
{
    DCHECK(!live->gone);
    live->gone = true;                                         /* R1 */
    tsu_store_release(&live->handle->live, 0);
    if (live->named) name_remove_locked(self, (ERL_NIF_TERM)tsu_load_relaxed(&live->name));
    else if (live->tid_env != NULL) name_remove_locked(self, (ERL_NIF_TERM)live->tid_key);
    slot_give_locked(live->slot);
    tsu_process_disown_locked(live);
    tsu_process_unheir_locked(live);
    tsu_process_unfix_all_locked(live);
    tsu_count_add(&registry.table_count, (uint64_t)-1);
}

static void live_free(tsu_thread *self, void *memory, size_t bytes)
{
    tsu_live *live = memory;

    (void)self;
    (void)bytes;
    enif_release_resource(live->handle);
    if (live->tid_env != NULL) enif_free_env(live->tid_env);
    tsu_env_free(live, sizeof *live);
}

tsu_status tsu_registry_view_add(tsu_live *live, tsu_view *view)
{
    tsu_status s = TSU_OK;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    if (live->gone) {
        s = TSU_GONE;
    } else {
        view->live = live;
        view->live_prev = NULL;
        view->live_next = live->views;
        if (live->views != NULL) live->views->live_prev = view;
        live->views = view;
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    return s;
}

static void view_unlink_locked(tsu_view *view)
{
    if (view->live == NULL) return;
    if (view->live_prev != NULL) view->live_prev->live_next = view->live_next;
    else view->live->views = view->live_next;
    if (view->live_next != NULL) view->live_next->live_prev = view->live_prev;
    view->live = NULL;
}

void tsu_registry_view_remove(tsu_view *view)
{
    tsu_env_mutex_lock(&tsu_registry_mutex);
    view_unlink_locked(view);
    tsu_env_mutex_unlock(&tsu_registry_mutex);
}

/* The table is gone, and gets no more of them: R1. */
static void views_release(tsu_live *live)
{
    tsu_snapshot *snapshot;
    tsu_view     *view;

    do {
        tsu_env_mutex_lock(&tsu_registry_mutex);
        view = live->views;
        snapshot = view != NULL ? tsu_view_take(view) : NULL;
        if (view != NULL) view_unlink_locked(view);
        tsu_env_mutex_unlock(&tsu_registry_mutex);
        tsu_snapshot_destroy(snapshot);
    } while (view != NULL);
}

#define ENV_BYTES 2048u      /* about what an environment takes */

void tsu_live_finish(tsu_thread *self, tsu_live *live)
{
    views_release(live);
    tsu_table_destroy(self, live->table);
    tsu_gift_release(live->heir_data);
    live->heir_data = NULL;
    tsu_retire(self, live, sizeof *live + (live->tid_env != NULL ? ENV_BYTES : 0), live_free);      /* R2 */
}

bool tsu_registry_bury(tsu_thread *self, tsu_live *live)
{
    bool mine;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    mine = !live->gone;
    if (mine) tsu_live_unlink_locked(self, live);              /* R4 */
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    if (mine) tsu_live_finish(self, live);
    return mine;
}

tsu_status tsu_registry_rename(ErlNifEnv *env, tsu_thread *self, tsu_live *live, ERL_NIF_TERM name)
{
    tsu_status s = TSU_OK;
    name_node *node = NULL;
    tsu_live  *dead = NULL;

    if (live->named) {
        node = tsu_env_alloc(sizeof *node);
        if (node == NULL) return TSU_NOMEM;
    }
    tsu_env_mutex_lock(&tsu_registry_mutex);
    if (live->gone) {
        s = TSU_GONE;
        goto done;
    }
    if (live->named) {
        if (!name_free_locked(env, self, name, &dead)) {
            s = TSU_EXISTS;
            goto done;
        }
        name_remove_locked(self, (ERL_NIF_TERM)tsu_load_relaxed(&live->name));
        name_add_locked(self, node, name, live);
        node = NULL;
    }
    tsu_store_release(&live->name, name);
done:
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    if (dead != NULL) tsu_live_finish(self, dead);
    if (node != NULL) tsu_env_free(node, sizeof *node);
    return s;
}

/* --- the registry itself --------------------------------------------------------------------------- */

/* It stays when all is closed: a view may be collected after that. */
static bool mutex_made;

tsu_status tsu_registry_open(void)
{
    name_table *t = name_table_create(NAME_BUCKETS_MIN);

    if (t == NULL) return TSU_NOMEM;
    if (tsu_process_open() != TSU_OK) {
        tsu_env_free(t, name_table_bytes(NAME_BUCKETS_MIN));
        return TSU_NOMEM;
    }
    memset(&registry, 0, sizeof registry);
    if (!mutex_made) tsu_env_mutex_init(&tsu_registry_mutex);
    mutex_made = true;
    tsu_store_release(&registry.names, (uintptr_t)t);
    return TSU_OK;
}

void tsu_registry_close(void)
{
    name_table *t = names_now();
    unsigned    k;

    for (k = 0; k < CHUNKS_MAX; k++)
        tsu_env_free((void *)(uintptr_t)tsu_load_relaxed(&registry.chunks[k]),
                     ((size_t)SLOTS_MIN << k) * sizeof(tsu_word));
    tsu_env_free(t, name_table_bytes(t->mask + 1));
    tsu_process_close();
    memset(&registry, 0, sizeof registry);
}
