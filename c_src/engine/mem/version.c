/* version.c: see ARCHITECTURE.md, "Cells and versions", for the protocol. */
#include "mem/snapshot.h"

/* Time 0 is before everything; the first snapshot is 1. */
tsu_word tsu_clock = {1};

/* The state of a commit; one that is committed has its time when this returns, as nobody may see it without: a snapshot
 * taken after that must be later. */
static uint64_t commit_state(tsu_commit *c)
{
    uint64_t state = tsu_load_acquire(&c->state);

    return TSU_UNLIKELY(state == TSU_COMMIT_COMMITTED) ? tsu_commit_time(c) : state;
}

static uint64_t commit_tag(tsu_commit *c) { return commit_state(c) & TSU_COMMIT_TAG; }

uint64_t tsu_commit_time(tsu_commit *c)
{
    uint64_t state = TSU_COMMIT_COMMITTED, now = tsu_load_seq(&tsu_clock) << TSU_COMMIT_TS_SHIFT | TSU_COMMIT_COMMITTED;

    return tsu_cas(&c->state, &state, now) ? now : state;
}

void tsu_version_decide_slow(tsu_version *v, uint64_t header)
{
    uint64_t now = tsu_load_seq(&tsu_clock);

    /* Failing means that another thread has decided it. */
    (void)tsu_cas(&v->header, &header, now << TSU_HEADER_TS_SHIFT | TSU_HEADER_TS);
}

uint64_t tsu_entry_below(uint64_t word, const tsu_entry *e)
{
    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) return ((const tsu_group *)tsu_cell_version(word))->base;
    return tsu_load_acquire(&e->under);
}

uint64_t tsu_cell_resolve_slow(tsu_thread *self, uint64_t word)
{
    const struct tsu_snapshot *view = self->view;
    uint64_t                   at = view == NULL ? UINT64_MAX : tsu_load_relaxed(&view->time);

    if (view == &tsu_snapshot_raw) return tsu_cell_bare(word);
    while (tsu_cell_holds_version(word)) {
        tsu_version *v = tsu_cell_version(word);
        uint64_t     h = tsu_load_acquire(&v->header);
        tsu_node    *node;

        switch (h & TSU_HEADER_TAG) {
        case TSU_HEADER_ENTRY: {
            tsu_entry *e = tsu_header_entry(h);
            uint64_t   state = commit_state(e->commit);

            if (((state & TSU_COMMIT_TAG) != TSU_COMMIT_COMMITTED || state >> TSU_COMMIT_TS_SHIFT > at) && !PLANTED(9)) {
                word = tsu_entry_below(word, e);
                continue;
            }
            break;
        }
        case TSU_HEADER_NODE:
        case TSU_HEADER_PASSED:
            node = tsu_header_node(h);
            if (tsu_version_time(v) > at) {
                word = tsu_load_acquire(&node->older);
                continue;
            }
            break;
        default:
            if (tsu_version_time(v) > at) return 0;
        }
        return tsu_cell_tombstone(word) ? 0 : tsu_cell_bare(word);
    }
    return 0;
}

/* What is put into `under` never looks like what was there before, so that a helper who read that comes too late (a version
 * that somebody left there and that is not in the cell any more may be freed, and its place taken by another). Empty words are
 * stamps. Versions have, beside the pointer, a number that goes on from the word before or, if a writer put them there once the
 * entry was installed, this bit. */
#define UNDER_WRITTEN (UINT64_C(1) << 63)
#define UNDER_NUMBER  (UINT64_C(0x7fff) << 48)

static inline uint64_t under_next(uint64_t under, uint64_t version)
{
    uint64_t number = (under & TSU_CELL_KIND) == TSU_CELL_EMPTY ? under << 45 : under + (UINT64_C(1) << 48);

    return tsu_cell_bare(version) | (number & UNDER_NUMBER);
}

/* Asks decide about an absent key. */
tsu_cell_outcome tsu_cell_edit_absent(tsu_thread *self, tsu_edit *edit)
{
    edit->old = 0;
    edit->verdict = tsu_edit_decide(edit, self, 0);
    if (edit->verdict == TSU_EDIT_REMOVE) edit->verdict = TSU_EDIT_KEEP;
    if (edit->verdict != TSU_EDIT_PUT) return TSU_CELL_DONE;
    tsu_edit_header(edit, 0);
    return TSU_CELL_VACANT;
}

/* Where a change to the key belongs: the cell, or the `under` of the pending commit that holds it. */
struct place {
    tsu_word *at;
    tsu_entry *entry;        /* NULL: at is the structure's cell */
    uint64_t   word;         /* what was there */
};

enum descent { AT_VERSION, AT_NOTHING, AT_MOVED, AT_BLOCKED };

static enum descent descend(tsu_thread *self, tsu_word *cell, uint64_t seen, uint64_t aux, uint64_t gone,
                            tsu_edit *edit, struct place *p)
{
    for (;;) {
        p->at = cell;
        p->entry = NULL;
        for (;;) {
            p->word = tsu_load_acquire(p->at);
            if (p->word & TSU_CELL_FROZEN) break;
            if (p->entry == NULL && !PLANTED(4) && seen != 0 && tsu_cell_bare(p->word) != tsu_cell_bare(seen)) return AT_MOVED;
            if (!tsu_cell_holds_version(p->word)) return AT_NOTHING;

            tsu_version *v = tsu_cell_version(p->word);
            uint64_t     h = tsu_load_acquire(&v->header);

            if ((h & TSU_HEADER_TAG) != TSU_HEADER_ENTRY) {
                if (!tsu_header_settled(h)) tsu_version_decide_any(v);
                return AT_VERSION;
            }

            tsu_entry *e = tsu_header_entry(h);
            uint64_t   tag = commit_tag(e->commit);

            if (tag == TSU_COMMIT_COMMITTED) return AT_VERSION;
            if (tag == TSU_COMMIT_ABORTED) {
                tsu_cell_restore(self, cell, p->word, aux, gone);
                break;
            }
            if (edit->exact || (p->word & TSU_CELL_KIND) == TSU_CELL_GROUP) {
                edit->blocked = e->commit;
                return AT_BLOCKED;
            }
            p->at = &e->under;
            p->entry = e;
        }
        if (p->entry == NULL && (p->word & TSU_CELL_FROZEN)) return AT_MOVED;
    }
}

tsu_verdict tsu_edit_sweep(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    (void)edit;
    (void)self;
    (void)current;
    return TSU_EDIT_KEEP;
}

/* What an edit leaves at a place where `there` was. */
struct change {
    uint64_t  there, put;    /* put 0: nothing */
    tsu_node *node;          /* `there` is kept under `put` by it, or NULL */
};

static bool keep(tsu_thread *self, tsu_edit *edit, struct change *c)
{
    c->node = tsu_history_push(self, c->put, c->there);
    edit->kept = c->node != NULL;
    return edit->kept;
}

/* False: no memory. */
static bool change_put(tsu_thread *self, tsu_edit *edit, struct change *c)
{
    c->put = edit->put;
    if (edit->entry == NULL && !edit->chained && tsu_edit_keeps(edit) && tsu_history_needs(edit->history, c->there))
        return keep(self, edit, c);
    tsu_edit_header(edit, c->there);
    /* what a commit brings has that under it, and decide has seen to it, but for a tombstone, which it was not shown */
    if (edit->entry == NULL || !tsu_cell_tombstone(c->there)) return true;
    if ((c->put & TSU_CELL_KIND) == TSU_CELL_GROUP) ((tsu_group *)tsu_cell_version(c->put))->base = c->there;
    else tsu_store_release(&edit->entry->under, c->there);
    return true;
}

static bool change_remove(tsu_thread *self, tsu_edit *edit, struct change *c)
{
    if (!tsu_edit_keeps(edit) || !tsu_history_needs(edit->history, c->there) || PLANTED(16)) return true;
    c->put = tsu_tombstone_create(self, c->there);
    if (c->put == 0) return false;
    if (keep(self, edit, c)) return true;
    tsu_tombstone_destroy(self, c->put);
    return false;
}

static void change_undo(tsu_thread *self, tsu_edit *edit, const struct change *c)
{
    if (c->node != NULL) tsu_history_unpush(self, c->put, c->node);
    if (c->node != NULL && edit->verdict == TSU_EDIT_REMOVE) tsu_tombstone_destroy(self, c->put);
    if (edit->entry != NULL && tsu_cell_tombstone(c->there)) tsu_store_release(&edit->entry->under, tsu_stamp(self));
}

static void change_done(tsu_thread *self, tsu_edit *edit, const struct change *c)
{
    edit->kept = c->node != NULL && edit->old != 0;
    if (c->node != NULL) {
        tsu_history_pushed(self, edit->history, c->put, c->there, c->node);
        return;
    }
    if (c->put != 0) tsu_version_decide(tsu_cell_version(c->put));
    if (edit->entry == NULL) tsu_history_cut(self, edit->history, c->there);
}

tsu_cell_outcome tsu_cell_edit_slow(tsu_thread *self, tsu_word *cell, uint64_t seen, uint64_t aux, uint64_t gone,
                               tsu_edit *edit)
{
    for (;;) {
        struct place  p;
        struct change c = {0, 0, NULL};
        uint64_t      next;

        edit->kept = false;
        switch (descend(self, cell, seen, aux, gone, edit, &p)) {
        case AT_MOVED:   return TSU_CELL_MOVED;
        case AT_BLOCKED: return TSU_CELL_BLOCKED;
        case AT_NOTHING:
            if (p.entry == NULL) {
                if ((p.word & TSU_CELL_KIND) != TSU_CELL_EMPTY) return TSU_CELL_MOVED;
                return tsu_cell_edit_absent(self, edit);
            }
            break;
        case AT_VERSION: c.there = tsu_cell_bare(p.word); break;
        }
        edit->old = tsu_cell_tombstone(c.there) ? 0 : c.there;
        edit->verdict = tsu_edit_decide(edit, self, edit->old);
        if (edit->verdict == TSU_EDIT_PUT) {
            if (edit->old == 0 && p.entry != NULL && p.entry->commit->demands_absent && !PLANTED(7)) {
                /* whoever puts something under it would make insert_new lie */
                edit->blocked = p.entry->commit;
                return TSU_CELL_BLOCKED;
            }
            if (!change_put(self, edit, &c)) break;
        } else if (edit->verdict == TSU_EDIT_REMOVE && edit->old != 0) {
            if (!change_remove(self, edit, &c)) break;
        } else if (edit->decide == tsu_edit_sweep && p.entry == NULL && c.there != 0 && tsu_history_sweep(self, edit->history, c.there)) {
            edit->verdict = TSU_EDIT_REMOVE;
            edit->old = c.there;                   /* for the structure, whose cell is emptied */
        } else {
            if (edit->verdict == TSU_EDIT_REMOVE) edit->verdict = TSU_EDIT_KEEP;
            return TSU_CELL_DONE;
        }
        if (c.put != 0) next = c.put | (p.entry == NULL ? aux : UNDER_WRITTEN);
        else next = p.entry == NULL && gone != 0 ? gone : tsu_stamp(self);
        if (tsu_cas(p.at, &p.word, next)) {
            change_done(self, edit, &c);
            return TSU_CELL_DONE;
        }
        change_undo(self, edit, &c);
    }
    edit->verdict = TSU_EDIT_FAIL;
    edit->status = TSU_NOMEM;
    return TSU_CELL_DONE;
}

tsu_install_outcome tsu_cell_install(tsu_thread *self, tsu_word *cell, uint64_t seen, uint64_t aux,
                                     uint64_t gone, tsu_entry *entry, uint64_t under, tsu_commit **other)
{
    if (under & TSU_CELL_FROZEN) return TSU_INSTALL_STOP;
    for (;;) {
        uint64_t c = cell != NULL ? tsu_load_acquire(cell) : 0;

        if (cell != NULL && tsu_cell_holds_version(c)
            && tsu_cell_version(c) == tsu_cell_version(entry->word)) return TSU_INSTALL_DONE;
        if (!PLANTED(10) && commit_tag(entry->commit) != TSU_COMMIT_PENDING) return TSU_INSTALL_STOP;
        if (cell != NULL && ((c & TSU_CELL_FROZEN) || !tsu_cell_holds_version(c))) return TSU_INSTALL_MOVED;
        if (cell != NULL && seen != 0 && tsu_cell_bare(c) != tsu_cell_bare(seen)) return TSU_INSTALL_MOVED;
        /* Step 4 is a CAS to something new even if `under` says the same already: it stops those who read `under` before
         * and then something else in the cell that has gone since. */
        if (cell == NULL) {
            if (PLANTED(13) && under != 0 && (under & TSU_CELL_KIND) == TSU_CELL_EMPTY) return TSU_INSTALL_VACANT;
            if (tsu_cas(&entry->under, &under, tsu_stamp(self))) return TSU_INSTALL_VACANT;
            return TSU_INSTALL_MOVED;
        }

        uint64_t h = tsu_load_acquire(&tsu_cell_version(c)->header);

        if (!tsu_header_settled(h)) tsu_version_decide_any(tsu_cell_version(c));
        if ((h & TSU_HEADER_TAG) == TSU_HEADER_ENTRY) {
            tsu_entry *e = tsu_header_entry(h);
            uint64_t   tag = commit_tag(e->commit);

            if (tag == TSU_COMMIT_PENDING) {
                *other = e->commit;
                return TSU_INSTALL_BLOCKED;
            }
            if (tag == TSU_COMMIT_ABORTED) {
                tsu_cell_restore(self, cell, c, aux, gone);
                return TSU_INSTALL_MOVED;
            }
        }
        if (entry->commit->demands_absent && !tsu_cell_tombstone(c)) {
            uint64_t pending = TSU_COMMIT_PENDING;

            return tsu_cas(&entry->commit->state, &pending, TSU_COMMIT_ABORTED) ? TSU_INSTALL_EXISTS : TSU_INSTALL_STOP;
        }
        uint64_t next = under_next(under, c);

        if (!tsu_cas(&entry->under, &under, next)) return TSU_INSTALL_MOVED;
        under = next;
        if (tsu_cas(cell, &c, entry->word | aux)) return TSU_INSTALL_DONE;
    }
}

void tsu_cell_restore(tsu_thread *self, tsu_word *cell, uint64_t word, uint64_t aux, uint64_t gone)
{
    tsu_entry *e = tsu_header_entry(tsu_load_acquire(&tsu_cell_version(word)->header));
    uint64_t   back;

    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) back = ((tsu_group *)tsu_cell_version(word))->base;
    else back = tsu_entry_freeze(e);
    if (tsu_cell_holds_version(back)) back = tsu_cell_bare(back) | aux;
    else back = gone != 0 ? gone : tsu_stamp(self);
    (void)tsu_cas(cell, &word, back);
}

uint64_t tsu_entry_freeze(tsu_entry *entry)
{
    if (PLANTED(5)) return tsu_load_acquire(&entry->under);
    return tsu_fetch_or(&entry->under, TSU_CELL_FROZEN) & ~TSU_CELL_FROZEN;
}

bool tsu_version_drop(uint64_t word)
{
    tsu_version *v = tsu_cell_version(word);
    uint64_t     h = tsu_load_acquire(&v->header);

    while ((h & TSU_HEADER_TAG) == TSU_HEADER_ENTRY)
        if (tsu_cas(&v->header, &h, TSU_HEADER_DROPPED)) return false;
    return true;
}

bool tsu_version_settle(uint64_t word, uint64_t ts)
{
    tsu_version *v = tsu_cell_version(word);
    uint64_t     h = tsu_load_acquire(&v->header);

    while ((h & TSU_HEADER_TAG) == TSU_HEADER_ENTRY)
        if (tsu_cas(&v->header, &h, ts << TSU_HEADER_TS_SHIFT | TSU_HEADER_TS)) return true;
    return false;
}
