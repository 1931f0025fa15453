/* version.c: see ARCHITECTURE.md, "Cells and versions", for the protocol. */
#include "mem/version.h"

/* Time 0 is before everything; the first snapshot is 1. */
tsu_word tsu_clock = {1};

/* How a commit stands; one that is committed has its time when this returns, as nobody may see it without: a snapshot
 * taken after that must be later. */
static uint64_t commit_tag(tsu_commit *c)
{
    uint64_t state = tsu_load_acquire(&c->state);

    if (TSU_UNLIKELY(state == TSU_COMMIT_COMMITTED)) return tsu_commit_time(c) & TSU_COMMIT_TAG;
    return state & TSU_COMMIT_TAG;
}

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

/* What readers see in place of a version whose commit is not (or never will be) committed. */
static uint64_t below(uint64_t word, const tsu_entry *e)
{
    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) return ((const tsu_group *)tsu_cell_version(word))->base;
    return tsu_load_acquire(&e->under);
}

uint64_t tsu_cell_resolve_slow(uint64_t word)
{
    while (tsu_cell_holds_version(word)) {
        tsu_version *v = tsu_cell_version(word);
        uint64_t     h = tsu_load_acquire(&v->header);

        if ((h & TSU_HEADER_TAG) == TSU_HEADER_ENTRY) {
            tsu_entry *e = tsu_header_entry(h);

            if (commit_tag(e->commit) != TSU_COMMIT_COMMITTED && !PLANTED(9)) {
                word = below(word, e);
                continue;
            }
        } else if ((h & TSU_HEADER_TAG) == TSU_HEADER_UNDECIDED) {
            tsu_version_decide_slow(v, h);
        }
        return tsu_cell_bare(word);
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

            if ((h & TSU_HEADER_TAG) == TSU_HEADER_UNDECIDED) tsu_version_decide_slow(v, h);
            if ((h & TSU_HEADER_TAG) != TSU_HEADER_ENTRY) return AT_VERSION;

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

tsu_cell_outcome tsu_cell_edit_slow(tsu_thread *self, tsu_word *cell, uint64_t seen, uint64_t aux, uint64_t gone,
                               tsu_edit *edit)
{
    for (;;) {
        struct place p;
        uint64_t     current = 0, next;

        switch (descend(self, cell, seen, aux, gone, edit, &p)) {
        case AT_MOVED:   return TSU_CELL_MOVED;
        case AT_BLOCKED: return TSU_CELL_BLOCKED;
        case AT_NOTHING:
            if (p.entry == NULL) {
                if ((p.word & TSU_CELL_KIND) != TSU_CELL_EMPTY) return TSU_CELL_MOVED;
                return tsu_cell_edit_absent(self, edit);
            }
            break;
        case AT_VERSION: current = tsu_cell_bare(p.word); break;
        }
        edit->old = current;
        edit->verdict = tsu_edit_decide(edit, self, current);
        if (edit->verdict == TSU_EDIT_PUT) {
            if (current == 0 && p.entry->commit->demands_absent && !PLANTED(7)) {
                /* whoever puts something under it would make insert_new lie */
                edit->blocked = p.entry->commit;
                return TSU_CELL_BLOCKED;
            }
            tsu_edit_header(edit, current);
            next = edit->put | (p.entry == NULL ? aux : UNDER_WRITTEN);
        } else if (edit->verdict == TSU_EDIT_REMOVE && current != 0) {
            next = p.entry == NULL && gone != 0 ? gone : tsu_stamp(self);
        } else {
            if (edit->verdict == TSU_EDIT_REMOVE) edit->verdict = TSU_EDIT_KEEP;
            return TSU_CELL_DONE;
        }
        if (tsu_cas(p.at, &p.word, next)) {
            if (edit->verdict == TSU_EDIT_PUT) tsu_version_decide(tsu_cell_version(edit->put));
            return TSU_CELL_DONE;
        }
    }
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

        if ((h & TSU_HEADER_TAG) == TSU_HEADER_UNDECIDED) tsu_version_decide_slow(tsu_cell_version(c), h);
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
        if (entry->commit->demands_absent) {
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
