/* cells.h: the simplest structure that keeps to the protocol of cells: a few keys, a cell to each, for tests of what works
 * on cells. With TSU_RACE_DELAYS a test may have something happen between any two atomic steps of an operation.
 *
 * A key is a small integer. Its cell goes from empty to a version by a CAS on the stamp that was seen, and back to
 * another stamp.
 */
#ifndef TSU_TESTING_CELLS_H
#define TSU_TESTING_CELLS_H

#include "mem/bag.h"
#include "testing/objects.h"
#include "testing/threads.h"

#define CELLS_MAX 64

struct tsu_root {
    tsu_word cell[CELLS_MAX];
    uint64_t aux;              /* kept beside the pointers */
    bool     seen;             /* operations name the word by which they know the cell, as hash tables do */
    long     fail_after;       /* so many installations until memory is short; below 0: it never is */
};

static void TSU_TEST_UNUSED cells_init(tsu_thread *self, tsu_root *root, bool seen)
{
    memset(root, 0, sizeof *root);
    for (int i = 0; i < CELLS_MAX; i++) tsu_store_relaxed(&root->cell[i], tsu_stamp(self));
    root->aux = UINT64_C(0x5a5a) << 48;
    root->seen = seen;
    root->fail_after = -1;
}

static uint64_t TSU_TEST_UNUSED cells_record(tsu_thread *self, int64_t key, int64_t value)
{
    object_bytes o = object_make(key, 0, value);
    tsu_record  *r = tsu_record_create(self, o.bytes, o.len);

    CHECK(r != NULL);
    return tsu_record_word(r);
}

/* -1: the word is empty. */
static int64_t TSU_TEST_UNUSED cells_value(uint64_t word)
{
    return tsu_cell_holds_version(word) ? object_value(tsu_version_object(word)) : -1;
}

static tsu_word *cells_at(tsu_root *root, const tsu_key *key)
{
    int64_t i = -1;

    CHECK(tsu_term_int64(key->bytes, &i));
    CHECK(i >= 0 && i < CELLS_MAX);
    return &root->cell[i];
}

static uint64_t cells_find(tsu_thread *self, tsu_root *root, const tsu_key *key)
{
    (void)self;
    return tsu_cell_resolve(self, tsu_load_acquire(cells_at(root, key)));
}

static tsu_status TSU_TEST_UNUSED cells_edit(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_edit *edit)
{
    tsu_word *cell = cells_at(root, key);

    for (;;) {
        uint64_t w = tsu_load_acquire(cell);

        if (tsu_cell_holds_version(w)) {
            switch (tsu_cell_edit(self, cell, root->seen ? w : 0, root->aux, 0, edit)) {
            case TSU_CELL_DONE:    return TSU_OK;
            case TSU_CELL_BLOCKED: return TSU_AGAIN;
            case TSU_CELL_VACANT:
            case TSU_CELL_MOVED:   break;
            }
            continue;
        }
        if (tsu_cell_edit_absent(self, edit) == TSU_CELL_DONE) return TSU_OK;
        if (tsu_cas(cell, &w, edit->put | root->aux)) {
            tsu_version_decide(tsu_cell_version(edit->put));
            return TSU_OK;
        }
    }
}

static tsu_status cells_install(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry,
                                tsu_install_outcome *outcome, tsu_commit **other)
{
    tsu_word *cell = cells_at(root, key);

    if (root->fail_after >= 0 && root->fail_after-- == 0) return TSU_NOMEM;
    for (;;) {
        uint64_t under = tsu_load_acquire(&entry->under), w = tsu_load_acquire(cell);

        *outcome = tsu_cell_install(self, tsu_cell_holds_version(w) ? cell : NULL, root->seen ? w : 0, root->aux, 0, entry,
                                    under, other);
        if (*outcome == TSU_INSTALL_VACANT) (void)tsu_cas(cell, &w, entry->word | root->aux);
        else if (*outcome != TSU_INSTALL_MOVED) return TSU_OK;
    }
}

static bool cells_restore(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry)
{
    tsu_word *cell = cells_at(root, key);
    uint64_t  w = tsu_load_acquire(cell);

    if (tsu_cell_holds_version(w) && tsu_cell_version(w) == tsu_cell_version(entry->word))
        tsu_cell_restore(self, cell, w, root->aux, 0);
    return true;
}

/* As many as it can, one by one. */
static tsu_status cells_install_run(tsu_thread *self, tsu_root *root, struct tsu_commit_item *items, size_t count,
                                    size_t *installed, tsu_install_outcome *outcome, tsu_commit **other)
{
    tsu_status s = TSU_OK;

    *outcome = TSU_INSTALL_DONE;
    for (*installed = 0; *installed < count; ++*installed) {
        tsu_key key = {.bytes = tsu_version_key(items[*installed].entry.word, 1, &key.len)};

        s = cells_install(self, root, &key, &items[*installed].entry, outcome, other);
        if (s != TSU_OK || *outcome != TSU_INSTALL_DONE) break;
    }
    if (*installed == 0) return s;
    *outcome = TSU_INSTALL_DONE;
    return TSU_OK;
}

static const tsu_kind TSU_TEST_UNUSED cells_kind = {
    .name = "cells", .find = cells_find, .edit = cells_edit, .install = cells_install, .restore = cells_restore,
};
static const tsu_kind TSU_TEST_UNUSED cells_kind_runs = {
    .name = "cells in runs", .find = cells_find, .edit = cells_edit, .install = cells_install,
    .install_run = cells_install_run, .restore = cells_restore,
};

/* --- single-key writes ------------------------------------------------------------------ */
/* What a test's decide says, and what it was asked. */
typedef struct cells_writer {
    tsu_edit    edit;             /* first */
    tsu_verdict say;              /* FAIL with status LIMIT */
    bool        only_new;         /* KEEP if the key is there */
    int         asked;
    uint64_t    current;          /* the last time */
    bool        timed;            /* that version had its time */
    void      (*meanwhile)(void *arg);      /* happens the first time, as if in another thread */
    void       *arg;
} cells_writer;

static tsu_verdict cells_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    cells_writer *w = (cells_writer *)edit;

    (void)self;
    w->current = current;
    w->timed = current != 0 && (tsu_load_relaxed(&tsu_cell_version(current)->header) & TSU_HEADER_TAG) != TSU_HEADER_UNDECIDED;
    if (w->asked++ == 0 && w->meanwhile != NULL) w->meanwhile(w->arg);
    if (w->say == TSU_EDIT_FAIL) edit->status = TSU_LIMIT;
    return w->only_new && current != 0 ? TSU_EDIT_KEEP : w->say;
}

static cells_writer TSU_TEST_UNUSED cells_say(tsu_verdict v) { return (cells_writer){.edit = {.decide = cells_decide}, .say = v}; }

static cells_writer TSU_TEST_UNUSED cells_put(uint64_t word)
{
    cells_writer w = cells_say(TSU_EDIT_PUT);

    w.edit.put = word;
    return w;
}

static tsu_key TSU_TEST_UNUSED cells_key(int64_t key, object_bytes *bytes)
{
    *bytes = object_key(key, 0);
    return (tsu_key){.bytes = bytes->bytes, .len = bytes->len};
}

/* Puts the value, or with value < 0 removes the key; the status, and what was there. AGAIN: *blocked is to be helped. */
static tsu_status TSU_TEST_UNUSED cells_write(tsu_thread *self, tsu_root *root, int64_t key, int64_t value, bool only_new,
                                              int64_t *old, tsu_commit **blocked)
{
    object_bytes bytes;
    tsu_key      k = cells_key(key, &bytes);
    cells_writer w = cells_put(value >= 0 ? cells_record(self, key, value) : 0);
    tsu_status   s;

    if (value < 0) w.say = TSU_EDIT_REMOVE;
    w.only_new = only_new;
    s = cells_edit(self, root, &k, &w.edit);
    *old = s == TSU_OK ? cells_value(w.edit.old) : -1;
    *blocked = w.edit.blocked;
    if (value >= 0 && (s != TSU_OK || w.edit.verdict != TSU_EDIT_PUT)) tsu_version_destroy(self, w.edit.put);
    if (s == TSU_OK && w.edit.verdict != TSU_EDIT_KEEP) (void)tsu_version_retire(self, w.edit.old);
    return s;
}

static int64_t TSU_TEST_UNUSED cells_read(tsu_thread *self, tsu_root *root, int64_t key)
{
    object_bytes bytes;
    tsu_key      k = cells_key(key, &bytes);

    return cells_value(cells_find(self, root, &k));
}

static void TSU_TEST_UNUSED cells_clear(tsu_thread *self, tsu_root *root)
{
    for (int i = 0; i < CELLS_MAX; i++) {
        uint64_t w = tsu_load_relaxed(&root->cell[i]);

        if (tsu_cell_holds_version(w)) tsu_version_destroy(self, w);
        tsu_store_relaxed(&root->cell[i], tsu_stamp(self));
    }
}

/* --- something between two steps ------------------------------------------------------------- */
#ifdef TSU_RACE_DELAYS
static _Thread_local long   points_left = -1;         /* until it happens; below 0: nothing is to happen */
static _Thread_local bool   points_happened;
static _Thread_local void (*points_fn)(void *arg);
static _Thread_local void  *points_arg;

/* At other times the thread loses the processor now and then. */
void tsu_env_race_point(void)
{
    static _Thread_local uint64_t x;

    if (points_left >= 0) {
        if (points_left-- > 0) return;
        points_happened = true;
        points_fn(points_arg);
        return;
    }
    if (points_fn != NULL) return;
    x = (x ^ (uint64_t)(uintptr_t)&x) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (x >> 58 == 0) tsu_env_yield();
}

/* From here to points_end `fn` happens at step `at`; and again, if it sets points_left, after so many more. */
static void TSU_TEST_UNUSED points_begin(long at, void (*fn)(void *), void *arg)
{
    points_fn = fn;
    points_arg = arg;
    points_happened = false;
    points_left = at;
}

/* False: there were not so many steps. */
static bool TSU_TEST_UNUSED points_end(void)
{
    points_left = -1;
    points_fn = NULL;
    return points_happened;
}
#endif

#endif
