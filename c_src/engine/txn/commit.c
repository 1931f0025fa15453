/* commit.c: driving commits to their end. */
#include <string.h>

#include "mem/slab.h"
#include "term/order.h"
#include "txn/commit.h"

#define FETCH_AHEAD    8     /* records are fetched into the cache before they are looked at */
#define HELP_DEPTH_MAX 8     /* commits in each other's way are in key order: deeper chains are tried again later */

size_t tsu_commit_bytes(size_t count)
{
    return sizeof(tsu_commit_record) + count * sizeof(struct tsu_commit_item);
}

tsu_commit_record *tsu_commit_create(const tsu_kind *kind, tsu_root *root, uint32_t keypos, bool demands_absent,
                                     bool exact, size_t count)
{
    tsu_commit_record *r = tsu_env_alloc(tsu_commit_bytes(count));

    if (r == NULL) return NULL;
    memset(r, 0, sizeof *r);
    r->commit.demands_absent = demands_absent;
    r->kind = kind;
    r->root = root;
    r->keypos = keypos;
    r->exact = exact;
    r->count = count;
    return r;
}

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
        vacant += (tsu_load_acquire(&r->items[i].entry.under) & TSU_CELL_KIND) == TSU_CELL_EMPTY;
    (void)tsu_cas(&r->installed, &seen, seen + count + (vacant << TSU_COMMIT_VACANT_SHIFT));
}

/* Entry `at` of `record`, and those of the `room` entries from there that go with it. *other: what has to be helped
 * before it. */
static tsu_status install_some(tsu_thread *self, tsu_commit_record *record, size_t at, size_t room, size_t *installed,
                               tsu_install_outcome *outcome, tsu_commit **other)
{
    struct tsu_commit_item *item = &record->items[at];
    tsu_key                 key;

    if (record->kind->install_run != NULL && room > 1)
        return record->kind->install_run(self, record->root, item, room, installed, outcome, other);
    *installed = 1;
    key = tsu_commit_key(record, item);
    return record->kind->install(self, record->root, &key, &item->entry, outcome, other);
}

static void hide(tsu_thread *self, tsu_commit_record *record, size_t at)
{
    tsu_key key = tsu_commit_key(record, &record->items[at]);

    record->kind->restore(self, record->root, &key, &record->items[at].entry);
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
        uint64_t           seen = tsu_load_acquire(&r->installed);
        uint64_t           at = seen & ((UINT64_C(1) << TSU_COMMIT_VACANT_SHIFT) - 1);
        size_t             room, installed;
        tsu_commit        *other = NULL;

        if ((tsu_load_acquire(&r->commit.state) & TSU_COMMIT_TAG) != TSU_COMMIT_PENDING) {
            if (depth-- == 0) return TSU_OK;
            continue;
        }
        if (r->exact) return TSU_AGAIN;          /* its owner will get there */
        if (at == r->count || (PLANTED(2) && at + 1 == r->count)) {
            tsu_commit_decide(self, r);
            continue;
        }
        if (*budget == 0) return TSU_AGAIN;
        room = r->count - at - PLANTED(2);
        if (room > *budget) room = *budget;
        if (at + FETCH_AHEAD < r->count) __builtin_prefetch(tsu_cell_version(r->items[at + FETCH_AHEAD].entry.word));
        status = install_some(self, r, at, room, &installed, &outcome, &other);
        if (status != TSU_OK) return status;
        *budget -= outcome == TSU_INSTALL_DONE ? installed : 1;
        if (outcome == TSU_INSTALL_DONE) {
            /* E2: aborted meanwhile, and perhaps undone already: what this thread has shown it hides before it unpins */
            if ((tsu_load_seq(&r->commit.state) & TSU_COMMIT_TAG) == TSU_COMMIT_ABORTED && !PLANTED(6))
                while (installed-- > 0) hide(self, r, at + installed);
            else installed_advance(r, seen, installed);
        } else if (outcome == TSU_INSTALL_BLOCKED) {
            if (depth + 1 == HELP_DEPTH_MAX) return TSU_AGAIN;
            stack[++depth] = (tsu_commit_record *)other;
        }
        /* STOP and EXISTS: the state has changed */
    }
}
