/* view.c: tables at one instant: snapshots as seen from outside. */
#include <string.h>

#include "mem/slab.h"
#include "reaper.h"
#include "view.h"

void tsu_snapshot_wait(tsu_snapshot *s) { tsu_store_release(&s->epoch, tsu_grace_begin()); }

/* Both in one piece of memory. */
struct snapshot_table {
    tsu_snapshot snapshot;
    tsu_table    table;
};

static struct tsu_contents *contents_of(const tsu_snapshot *s) { return tsu_table_contents(s->table); }

tsu_status tsu_snapshot_create(tsu_thread *self, tsu_table *table, tsu_snapshot **out)
{
    struct snapshot_table *s = tsu_slab_alloc(self, sizeof *s);
    struct tsu_contents   *c = tsu_table_contents(table);

    if (s == NULL) return TSU_NOMEM;
    memset(s, 0, sizeof *s);
    s->table.type = table->type;
    s->table.keypos = table->keypos;
    s->table.kind = table->kind;
    tsu_store_relaxed(&s->table.contents, (uint64_t)(uintptr_t)c);
    s->snapshot.table = &s->table;
    /* the table's own reference stays till we have unpinned, at least */
    tsu_fetch_add(&c->references, 1);
    tsu_history_announce(&c->history, &s->snapshot);
    tsu_snapshot_wait(&s->snapshot);
    *out = &s->snapshot;
    return TSU_OK;
}

tsu_table *tsu_snapshot_view(tsu_thread *self, tsu_snapshot *s)
{
    self->view = s;
    return s->table;
}

bool tsu_snapshot_take(tsu_snapshot *s)
{
    if (tsu_load_relaxed(&s->time) != TSU_SNAPSHOT_ANNOUNCED) return true;
    if (!tsu_snapshot_waited(s) && !PLANTED(15)) return false;
    /* who finds it without a time keeps all */
    tsu_store_release(&s->time, TSU_SNAPSHOT_TAKING);
    tsu_store_release(&s->time, tsu_fetch_add(&tsu_clock, 1));
    return true;
}

void tsu_snapshot_destroy(tsu_snapshot *s)
{
    if (s == NULL) return;
    tsu_snapshot_wait(s);
    tsu_reaper_put_snapshot(s);
}

void tsu_snapshot_forget(tsu_snapshot *s) { tsu_history_forget(&contents_of(s)->history, s); }

void tsu_snapshot_free(tsu_thread *self, tsu_snapshot *s)
{
    tsu_contents_unreference(self, contents_of(s));
    tsu_slab_free(self, s, sizeof(struct snapshot_table));
}

/* --- sweeping ------------------------------------------------------------------------------------ */
struct sweeping {
    tsu_thread  *self;
    tsu_history *history;
    size_t       budget;
    uint64_t     last;
    bool         out;           /* `last` is a tombstone that is not needed */
};

static bool sweep_visit(void *ctx, uint64_t word)
{
    struct sweeping *s = ctx;

    s->last = word;
    s->out = tsu_history_sweep(s->self, s->history, word);
    return !s->out && --s->budget > 0;
}

bool tsu_snapshot_sweep(tsu_thread *self, tsu_snapshot *p, tsu_record **at, size_t budget)
{
    struct tsu_contents *c = contents_of(p);
    struct sweeping      s = {.self = self, .history = &c->history, .budget = budget};
    bool                 done = false;
    tsu_key              key;

    if (tsu_load_acquire(&c->history.nodes) == 0) done = true;
    tsu_pin(self);
    self->view = &tsu_snapshot_raw;
    while (!done && s.budget > 0) {
        const uint8_t *bytes;
        size_t         len;
        bool           from = s.last != 0 || *at != NULL;

        if (from) {
            bytes = s.last != 0 ? tsu_version_key(s.last, p->table->keypos, &len) : tsu_object_key((*at)->object, p->table->keypos, &len);
            tsu_table_key(&key, c->kind, bytes, len);
        }
        s.out = false;
        c->kind->walk(self, c->root, from ? &key : NULL, TSU_FORWARD, s.budget, sweep_visit, &s, &done);
        if (!s.out) break;
        bytes = tsu_version_key(s.last, p->table->keypos, &len);
        tsu_table_key(&key, c->kind, bytes, len);
        tsu_contents_sweep_key(self, c, &key);
        s.budget -= s.budget > 0;
    }
    self->view = NULL;
    if (!done && s.last != 0) {
        tsu_record *copy = tsu_record_copy(self, tsu_version_newest(s.last));      /* no memory: from where it was before */

        if (copy != NULL) {
            tsu_record_destroy(self, *at);
            *at = copy;
        }
    }
    tsu_unpin(self);
    if (!done) return false;
    tsu_record_destroy(self, *at);
    *at = NULL;
    return true;
}
