/* commit.c: driving commits to their end. */
#include <string.h>

#include "mem/slab.h"
#include "term/order.h"
#include "txn/commit.h"

#define FETCH_AHEAD    8     /* records are fetched into the cache before they are looked at */
#define INSTALL_RUN    16    /* entries installed between two looks at the state, and told to others together */
#define HELP_DEPTH_MAX 8     /* commits in each other's way are in key order: deeper chains are tried again later */

_Static_assert(TSU_COMMIT_PART_ITEMS * sizeof(struct tsu_commit_item) <= TSU_SLAB_BYTES_MAX, "a part comes from the slab");

/* --- memory ---------------------------------------------------------------------------------------- */
static size_t part_slots(const tsu_commit_record *r)
{
    return (r->room + TSU_COMMIT_PART_ITEMS - 1) >> TSU_COMMIT_PART_SHIFT;
}

static size_t part_bytes(const tsu_commit_record *r, size_t k)
{
    size_t left = r->room - k * TSU_COMMIT_PART_ITEMS;

    return (left < TSU_COMMIT_PART_ITEMS ? left : TSU_COMMIT_PART_ITEMS) * sizeof(struct tsu_commit_item);
}

tsu_commit_record *tsu_commit_create(tsu_thread *self, const tsu_kind *kind, tsu_root *root, uint32_t keypos,
                                     bool demands_absent, bool exact, size_t room)
{
    tsu_commit_record *r = tsu_slab_alloc(self, sizeof *r);

    if (r == NULL) return NULL;
    memset(r, 0, sizeof *r);
    r->commit.demands_absent = demands_absent;
    r->kind = kind;
    r->root = root;
    r->keypos = keypos;
    r->exact = exact;
    r->room = room;
    r->part = tsu_slab_alloc(self, part_slots(r) * sizeof *r->part);
    if (r->part != NULL) return r;
    tsu_slab_free(self, r, sizeof *r);
    return NULL;
}

struct tsu_commit_item *tsu_commit_add(tsu_thread *self, tsu_commit_record *r)
{
    struct tsu_commit_item *item;

    DCHECK(r->count < r->room);
    if (r->count == r->part_count << TSU_COMMIT_PART_SHIFT) {
        r->part[r->part_count] = tsu_slab_alloc(self, part_bytes(r, r->part_count));
        if (r->part[r->part_count] == NULL) return NULL;
        r->part_count++;
    }
    item = tsu_commit_item_at(r, r->count++);
    item->entry.commit = &r->commit;
    tsu_store_relaxed(&item->entry.under, 0);
    return item;
}

void tsu_commit_done(tsu_thread *self, tsu_commit_record *r, size_t at)
{
    if ((r->part_done + 1) << TSU_COMMIT_PART_SHIFT > at) return;
    tsu_retire(self, r->part[r->part_done], part_bytes(r, r->part_done), tsu_slab_free);
    r->part_done++;
}

static void record_free(tsu_thread *self, void *memory, size_t bytes)
{
    tsu_commit_record *r = memory;

    (void)bytes;
    for (; r->part_done < r->part_count; r->part_done++)
        tsu_slab_free(self, r->part[r->part_done], part_bytes(r, r->part_done));
    tsu_slab_free(self, r->part, part_slots(r) * sizeof *r->part);
    tsu_slab_free(self, r, sizeof *r);
}

void tsu_commit_retire(tsu_thread *self, tsu_commit_record *r)
{
    size_t bytes = sizeof *r;

    for (size_t k = r->part_done; k < r->part_count; k++) bytes += part_bytes(r, k);
    tsu_retire(self, r, bytes, record_free);
}

/* --- driving --------------------------------------------------------------------------------------- */
tsu_key tsu_commit_key(const tsu_commit_record *record, const struct tsu_commit_item *item)
{
    tsu_key key;

    key.bytes = tsu_version_key(item->entry.word, record->keypos, &key.len);
    key.mark = item->mark;
    key.exact = record->kind == &tsu_kind_tree && tsu_order_head_exact(key.bytes);
    return key;
}

bool tsu_commit_abort(tsu_commit *commit)
{
    uint64_t state = TSU_COMMIT_PENDING;

    return tsu_cas(&commit->state, &state, TSU_COMMIT_ABORTED) || state == TSU_COMMIT_ABORTED;
}

bool tsu_commit_decide(tsu_thread *self, tsu_commit_record *record)
{
    uint64_t state = TSU_COMMIT_PENDING;

    if (!tsu_cas(&record->commit.state, &state, TSU_COMMIT_COMMITTED)) return state != TSU_COMMIT_ABORTED;
    /* its time is not older than the moment at which it could be seen: read before the CAS, the clock may be overtaken by a
     * snapshot */
    (void)tsu_commit_time(&record->commit);
    record->committed(self, record, tsu_commit_vacant(record));
    return true;
}

/* That many more entries are installed: counts them, and those whose keys were absent then. */
static void installed_advance(tsu_commit_record *r, uint64_t seen, size_t count)
{
    uint64_t at = seen & ((UINT64_C(1) << TSU_COMMIT_VACANT_SHIFT) - 1), vacant = 0;

    for (size_t i = at; i < at + count; i++)
        vacant += !tsu_cell_alive(tsu_load_acquire(&tsu_commit_item_at(r, i)->entry.under));
    (void)tsu_cas(&r->installed, &seen, seen + count + (vacant << TSU_COMMIT_VACANT_SHIFT));
}

/* Entry `at` of `record`, and those of the `room` entries from there that go with it. *other: what has to be helped
 * before it. */
static tsu_status install_some(tsu_thread *self, tsu_commit_record *record, size_t at, size_t room, size_t *installed,
                               tsu_install_outcome *outcome, tsu_commit **other)
{
    struct tsu_commit_item *item = tsu_commit_item_at(record, at);
    size_t                  in_part = TSU_COMMIT_PART_ITEMS - (at & (TSU_COMMIT_PART_ITEMS - 1));
    tsu_key                 key;

    if (room > in_part) room = in_part;
    if (record->kind->install_run != NULL && room > 1)
        return record->kind->install_run(self, record->root, item, room, installed, outcome, other);
    *installed = 1;
    key = tsu_commit_key(record, item);
    return record->kind->install(self, record->root, &key, &item->entry, outcome, other);
}

static void hide(tsu_thread *self, tsu_commit_record *record, size_t at)
{
    struct tsu_commit_item *item = tsu_commit_item_at(record, at);
    tsu_key                 key = tsu_commit_key(record, item);

    /* short of memory it waits for whoever has some: what it has shown may be freed once it unpins */
    while (!record->kind->restore(self, record->root, &key, &item->entry)) tsu_env_yield();
}

/* Entries of `r` from where it is, up to `total`, until one is in the way or a run is full. *outcome: of the last one. */
static tsu_status install_more(tsu_thread *self, tsu_commit_record *r, size_t total, size_t *budget,
                               tsu_install_outcome *outcome, tsu_commit **other)
{
    uint64_t   seen = tsu_load_acquire(&r->installed);
    size_t     at = seen & ((UINT64_C(1) << TSU_COMMIT_VACANT_SHIFT) - 1), run = 0, installed = 0, room;
    tsu_status status = TSU_OK;

    *outcome = TSU_INSTALL_DONE;
    while (run < INSTALL_RUN && at + run < total && *budget > 0) {
        if (at + run + FETCH_AHEAD < r->count)
            __builtin_prefetch(tsu_cell_version(tsu_commit_item_at(r, at + run + FETCH_AHEAD)->entry.word));
        room = total - at - run < *budget ? total - at - run : *budget;
        status = install_some(self, r, at + run, room, &installed, outcome, other);
        if (status != TSU_OK || *outcome != TSU_INSTALL_DONE) break;
        run += installed;
        *budget -= installed;
    }
    if (run == 0) return status;
    /* E2: aborted meanwhile, and perhaps undone already: what this thread has shown it hides before it unpins */
    if ((tsu_load_seq(&r->commit.state) & TSU_COMMIT_TAG) == TSU_COMMIT_ABORTED && !PLANTED(6))
        while (run-- > 0) hide(self, r, at + run);
    else installed_advance(r, seen, run);
    return status;
}

tsu_status tsu_commit_help(tsu_thread *self, tsu_commit_record *record, size_t *budget)
{
    tsu_commit_record  *stack[HELP_DEPTH_MAX];
    size_t              depth = 0;
    tsu_install_outcome outcome;
    tsu_status          status;

    stack[0] = record;
    for (;;) {
        tsu_commit_record *r = stack[depth];
        size_t             total = r->count - PLANTED(2);
        tsu_commit        *other = NULL;

        if ((tsu_load_acquire(&r->commit.state) & TSU_COMMIT_TAG) != TSU_COMMIT_PENDING) {
            if (depth-- == 0) return TSU_OK;
            continue;
        }
        if (r->exact) return TSU_AGAIN;          /* its owner will get there */
        if (tsu_commit_installed(r) >= total) {
            tsu_commit_decide(self, r);
            continue;
        }
        if (*budget == 0) return TSU_AGAIN;
        status = install_more(self, r, total, budget, &outcome, &other);
        if (status != TSU_OK) return status;
        if (outcome == TSU_INSTALL_DONE) continue;
        if (*budget > 0) --*budget;
        if (outcome == TSU_INSTALL_BLOCKED) {
            if (depth + 1 == HELP_DEPTH_MAX) return TSU_AGAIN;
            stack[++depth] = (tsu_commit_record *)other;
        }
        /* STOP and EXISTS: the state has changed */
    }
}
