/* table.c: tables and operations on one key, on top of what a kind of table brings. */
#include <string.h>

#include "reaper.h"
#include "table.h"
#include "txn/commit.h"

/* --- counting -------------------------------------------------------------------------- */
static inline void count_to(tsu_word *w, int64_t n, bool own)
{
    if (n == 0) return;
    if (own) tsu_store_relaxed(w, tsu_load_relaxed(w) + (uint64_t)n);
    else tsu_count_add(w, (uint64_t)n);
}

void tsu_tally_add(tsu_thread *self, struct tsu_contents *contents, int64_t objects, int64_t bytes, int64_t handles)
{
    bool              own = self->index < TSU_TALLIES - 1;
    struct tsu_tally *t = &contents->tallies[own ? self->index : TSU_TALLIES - 1];

    count_to(&t->objects, objects, own);
    count_to(&t->bytes, bytes, own);
    count_to(&t->handles, handles, own);
}

static int64_t tally_sum(const struct tsu_contents *c, size_t offset)
{
    uint64_t sum = 0;
    size_t   i;

    for (i = 0; i < TSU_TALLIES; i++)
        sum += tsu_load_relaxed((const tsu_word *)(const void *)((const char *)&c->tallies[i] + offset));
    return (int64_t)sum;
}

uint64_t tsu_contents_count(const struct tsu_contents *contents)
{
    int64_t n = tally_sum(contents, offsetof(struct tsu_tally, objects));

    return n < 0 ? 0 : (uint64_t)n;
}

uint64_t tsu_table_count(const tsu_table *table) { return tsu_contents_count(tsu_table_contents(table)); }

uint64_t tsu_table_bytes(const tsu_table *table)
{
    const struct tsu_contents *c = tsu_table_contents(table);
    int64_t                    n = tally_sum(c, offsetof(struct tsu_tally, bytes));
    int64_t                    kept = (int64_t)tsu_load_relaxed(&c->history.bytes);

    return (n < 0 ? 0 : (uint64_t)n) + (kept < 0 ? 0 : (uint64_t)kept) + c->kind->bytes(c->root) + sizeof *c + sizeof *table;
}

tsu_table_type tsu_table_type_of(const tsu_table *table) { return table->type; }
uint32_t tsu_table_keypos(const tsu_table *table) { return table->keypos; }

/* --- contents ---------------------------------------------------------------------------- */
tsu_status tsu_contents_create(tsu_thread *self, const tsu_kind *kind, uint32_t keypos, struct tsu_contents **out)
{
    struct tsu_contents *c = tsu_slab_alloc(self, sizeof *c);
    tsu_status           status;

    if (c == NULL) return TSU_NOMEM;
    memset(c, 0, sizeof *c);
    c->kind = kind;
    tsu_store_relaxed(&c->references, 1);
    status = kind->create(self, keypos, &c->root);
    if (status != TSU_OK) {
        tsu_slab_free(self, c, sizeof *c);
        return status;
    }
    *out = c;
    return TSU_OK;
}

#define REAP_AT_ONCE 256u

void tsu_contents_unreference(tsu_thread *self, struct tsu_contents *c)
{
    if (tsu_fetch_add(&c->references, (uint64_t)-1) != 1) return;
    /* kept versions are let go of pinned, which a call that frees need not be in a position to do */
    if (tsu_load_acquire(&c->history.nodes) == 0 && c->kind->reap(self, c->root, REAP_AT_ONCE, tsu_version_destroy))
        tsu_slab_free(self, c, sizeof *c);
    else tsu_reaper_put_contents(c);
}

static void contents_free(tsu_thread *self, void *memory, size_t bytes)
{
    (void)bytes;
    tsu_contents_unreference(self, memory);
}

void tsu_contents_release(tsu_thread *self, struct tsu_contents *contents)
{
    int64_t bytes = tally_sum(contents, offsetof(struct tsu_tally, bytes));

    tsu_retire(self, contents, sizeof *contents + (bytes > 0 ? (size_t)bytes : 0), contents_free);
    if (tally_sum(contents, offsetof(struct tsu_tally, handles)) != 0) tsu_ebr_hurry(self);
}

tsu_status tsu_table_create(tsu_thread *self, tsu_table_type type, uint32_t keypos, tsu_table **out)
{
    const tsu_kind      *kind = type == TSU_ORDERED_SET ? &tsu_kind_tree : &tsu_kind_hash;
    struct tsu_contents *contents;
    tsu_table           *t;
    tsu_status           status;

    if (keypos == 0 || type > TSU_DUPLICATE_BAG) return TSU_BADARG;
    t = tsu_slab_alloc(self, sizeof *t);
    if (t == NULL) return TSU_NOMEM;
    status = tsu_contents_create(self, kind, keypos, &contents);
    if (status != TSU_OK) {
        tsu_slab_free(self, t, sizeof *t);
        return status;
    }
    memset(t, 0, sizeof *t);
    t->type = type;
    t->keypos = keypos;
    t->kind = kind;
    tsu_store_release(&t->contents, (uint64_t)(uintptr_t)contents);
    *out = t;
    return TSU_OK;
}

static void ghosts_release(tsu_thread *self, tsu_table *table)
{
    struct tsu_contents *g = (struct tsu_contents *)(uintptr_t)tsu_exchange(&table->ghosts, 0), *next;

    for (; g != NULL; g = next) {
        next = g->next;
        tsu_contents_release(self, g);
    }
}

void tsu_table_destroy(tsu_thread *self, tsu_table *table)
{
    tsu_pin(self);
    ghosts_release(self, table);
    tsu_contents_release(self, tsu_table_contents(table));
    tsu_retire(self, table, sizeof *table, tsu_slab_free);
    tsu_unpin(self);
}

TSU_APART void tsu_table_key_ordered(tsu_key *key) { key->mark = tsu_order_head_both(key->bytes, &key->exact); }

/* --- reading ------------------------------------------------------------------------------- */
TSU_APART static bool show_chain(uint64_t word, tsu_object_fn fn, void *ctx)
{
    tsu_record *r = tsu_version_newest(word), *older;

    for (;; r = older) {
        older = tsu_record_older(r);
        if (older == NULL) return fn(ctx, r->object);
        __builtin_prefetch(older);
        if (!fn(ctx, r->object)) return false;
    }
}

static inline bool show(uint64_t word, tsu_object_fn fn, void *ctx)
{
    const tsu_record *r = (const tsu_record *)tsu_cell_version(word);

    if (TSU_UNLIKELY((word & TSU_CELL_KIND) == TSU_CELL_GROUP || tsu_record_older(r) != NULL)) return show_chain(word, fn, ctx);
    return fn(ctx, r->object);
}

bool tsu_version_show(uint64_t word, tsu_object_fn fn, void *ctx) { return show(word, fn, ctx); }

uint64_t tsu_table_find(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len)
{
    tsu_key k;

    tsu_table_key(&k, table->kind, key, len);
    return table->kind->find(self, tsu_table_contents(table)->root, &k);
}

static inline void lookup(tsu_thread *self, tsu_table *table, struct tsu_contents *c, const tsu_key *key, tsu_object_fn fn, void *ctx)
{
    uint64_t word = table->kind->find(self, c->root, key);

    if (tsu_cell_holds_version(word)) show(word, fn, ctx);
}

void tsu_lookup(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_object_fn fn, void *ctx)
{
    struct tsu_contents *c = tsu_table_contents(table);
    tsu_key              k;

    tsu_table_key(&k, table->kind, key, len);
    lookup(self, table, c, &k, fn, ctx);
}

void tsu_lookup_begin(tsu_table *table, const uint8_t *key, size_t len, tsu_key *out)
{
    tsu_table_key(out, table->kind, key, len);
    if (table->kind->fetch != NULL) table->kind->fetch(tsu_table_contents(table)->root, out);
}

void tsu_lookup_end(tsu_thread *self, tsu_table *table, const tsu_key *key, tsu_object_fn fn, void *ctx)
{
    lookup(self, table, tsu_table_contents(table), key, fn, ctx);
}

/* While the key has the same group, all of its records are there: a part may go on from one of them. */
tsu_status tsu_lookup_part(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_part *part,
                           tsu_object_fn fn, void *ctx)
{
    const tsu_record *r = part->next;
    uint64_t          word = tsu_table_find(self, table, key, len);

    if (part->stamp != 0 && part->stamp != tsu_word_stamp(word)) return TSU_GONE;
    if (tsu_word_stamp(word) == 0) {
        /* nothing, one object, or a chain: no stamp to go on by, and few enough to be shown whatever fn says */
        for (r = tsu_cell_holds_version(word) ? tsu_version_newest(word) : NULL; r != NULL; r = tsu_record_older(r))
            (void)fn(ctx, r->object);
        return TSU_OK;
    }
    if (part->stamp == 0) r = tsu_version_newest(word);
    part->stamp = tsu_word_stamp(word);
    for (; r != NULL; r = part->next) {
        part->next = tsu_record_older(r);
        if (!fn(ctx, r->object) && part->next != NULL) return TSU_AGAIN;
    }
    return TSU_OK;
}

bool tsu_member(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len)
{
    tsu_key k;

    tsu_table_key(&k, table->kind, key, len);
    return tsu_cell_holds_version(table->kind->find(self, tsu_table_contents(table)->root, &k));
}

/* --- editing --------------------------------------------------------------------------------- */
/* A commit was in the way: goes on with its help. */
TSU_APART static tsu_status edit_blocked(tsu_thread *self, struct tsu_contents *c, const tsu_key *key, tsu_edit *edit)
{
    size_t     budget = 1000;
    tsu_status status;

    do {
        status = tsu_commit_help(self, (tsu_commit_record *)edit->blocked, &budget);
        if (status != TSU_OK) return status;
        status = c->kind->edit(self, c->root, key, edit);
    } while (status == TSU_AGAIN);
    return status;
}

static inline tsu_status edit_key(tsu_thread *self, struct tsu_contents *c, const tsu_key *key, tsu_edit *edit)
{
    tsu_status status;

    edit->history = &c->history;
    edit->kept = false;
    status = c->kind->edit(self, c->root, key, edit);
    return TSU_LIKELY(status != TSU_AGAIN) ? status : edit_blocked(self, c, key, edit);
}

/* Of what an edit has replaced, a record alone or a group's node: its bytes; and it goes, unless snapshots need it. */
static inline size_t old_retire(tsu_thread *self, const tsu_edit *edit)
{
    if (TSU_LIKELY(!edit->kept)) return tsu_version_retire(self, edit->old);
    if ((edit->old & TSU_CELL_KIND) == TSU_CELL_GROUP) return tsu_slab_round(sizeof(tsu_group));
    return tsu_record_weight(tsu_version_newest(edit->old));
}

void tsu_contents_sweep_key(tsu_thread *self, struct tsu_contents *c, const tsu_key *key)
{
    tsu_edit edit = {.decide = tsu_edit_sweep, .history = &c->history};

    /* NOMEM, where a bucket is being moved: it stays, and counts as absent */
    (void)c->kind->edit(self, c->root, key, &edit);
}

tsu_status tsu_contents_edit(tsu_thread *self, struct tsu_contents *c, const uint8_t *key, size_t len, tsu_edit *edit)
{
    tsu_key k;

    tsu_table_key(&k, c->kind, key, len);
    return edit_key(self, c, &k, edit);
}

bool tsu_bag_has(uint64_t current, const uint8_t *object)
{
    tsu_record *r = tsu_cell_holds_version(current) ? tsu_version_newest(current) : NULL;

    for (; r != NULL; r = tsu_record_older(r))
        if (tsu_object_same(r->object, object)) return true;
    return false;
}

uint64_t tsu_bag_append(tsu_thread *self, uint64_t current, tsu_record *newest, tsu_record *oldest, uint64_t count,
                        uint64_t bytes, tsu_group **group)
{
    uint64_t records = bytes;

    tsu_record_chain(oldest, tsu_cell_holds_version(current) ? tsu_version_newest(current) : NULL);
    if (count == 1 && !tsu_cell_holds_version(current)) return tsu_record_word(newest);
    if (*group == NULL && (*group = tsu_group_create(self, NULL, 0, 0)) == NULL) return 0;
    if (tsu_cell_holds_version(current)) {
        records += tsu_version_bytes(current);
        if ((current & TSU_CELL_KIND) == TSU_CELL_GROUP) records -= tsu_slab_round(sizeof(tsu_group));
    }
    tsu_group_newest_set(*group, newest);
    (*group)->object_count = count + tsu_version_count(current);
    (*group)->bytes = records + tsu_slab_round(sizeof(tsu_group));
    (*group)->base = current;
    return tsu_group_word(*group);
}

struct insert {
    tsu_edit       edit;          /* decide NULL: neither a bag nor new_only */
    tsu_table_type type;
    bool           new_only;
    tsu_record    *record;
    tsu_group     *group;
};

static tsu_verdict insert_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    struct insert *in = (struct insert *)edit;
    uint64_t       count;

    edit->chained = false;
    if (in->new_only && current != 0) return TSU_EDIT_KEEP;
    if (in->type <= TSU_ORDERED_SET || current == 0) {
        edit->put = tsu_record_word(in->record);
        return TSU_EDIT_PUT;
    }
    if (in->type == TSU_BAG && tsu_bag_has(current, in->record->object)) return TSU_EDIT_KEEP;
    count = tsu_version_count(current);
    if (TSU_LIKELY(count < TSU_CHAIN_OBJECTS_MAX && !tsu_edit_keeps(edit))) {
        tsu_record_top(in->record, tsu_version_newest(current), count + 1,
                       tsu_record_large(in->record) || tsu_version_large(current));
        edit->chained = true;
        edit->put = tsu_record_word(in->record);
        return TSU_EDIT_PUT;
    }
    edit->put = tsu_bag_append(self, current, in->record, in->record, 1, tsu_record_weight(in->record), &in->group);
    if (edit->put != 0) return TSU_EDIT_PUT;
    edit->status = TSU_NOMEM;
    return TSU_EDIT_FAIL;
}

#define SHORT_OBJECT_BYTES 48

static tsu_status insert_one(tsu_thread *self, tsu_table *table, const uint8_t *object, size_t len, bool new_only,
                             bool *inserted)
{
    struct tsu_contents *c = tsu_table_contents(table);
    struct insert        in;
    bool                 begun;
    int64_t              weight = (int64_t)tsu_slab_round(tsu_record_bytes(len)), handles = (object[0] & TSU_OBJECT_HANDLES) != 0;
    size_t               key_len, old_bytes = 0;
    const uint8_t       *key;
    tsu_status           status;
    tsu_key              k;

    key = tsu_object_key(object, table->keypos, &key_len);
    tsu_table_key(&k, table->kind, key, key_len);
    /* what takes time to write has its key begun before: engine.h, tsu_insert; a key that does so itself has not */
    begun = (len > SHORT_OBJECT_BYTES || handles != 0) && table->keypos == 1 && *key < TSU_TAG_NIL;
    if (table->kind->fetch != NULL) (begun ? table->kind->fetch_next : table->kind->fetch)(c->root, &k);
    in.record = tsu_record_create(self, object, len);
    if (in.record == NULL) return TSU_NOMEM;
    /* one by one: an initializer clears all of it, by a string instruction that is slow to start */
    in.edit.decide = new_only || tsu_table_is_bag(table) ? insert_decide : NULL;
    in.edit.put = tsu_record_word(in.record);
    in.edit.chained = false;
    in.edit.exact = tsu_table_is_bag(table);
    in.edit.entry = NULL;
    in.type = table->type;
    in.new_only = new_only;
    in.group = NULL;
    status = edit_key(self, c, &k, &in.edit);
    if (status == TSU_OK && in.edit.verdict == TSU_EDIT_FAIL) status = in.edit.status;
    if (status != TSU_OK || in.edit.verdict != TSU_EDIT_PUT) {
        if (in.group != NULL) tsu_group_destroy(self, in.group);
        /* handles that are not stored stay the caller's, but for an object that was there already */
        if (status == TSU_OK && !new_only) tsu_record_destroy(self, in.record);
        else tsu_record_discard(self, in.record);
        *inserted = false;
        return status;
    }
    *inserted = true;
    if (table->type <= TSU_ORDERED_SET) {
        if (in.edit.old != 0) {
            handles -= tsu_record_handles(tsu_version_newest(in.edit.old));
            weight -= (int64_t)old_retire(self, &in.edit);
            tsu_tally_add(self, c, 0, weight, handles);
            return TSU_OK;
        }
    } else {
        old_bytes = (in.edit.old & TSU_CELL_KIND) == TSU_CELL_GROUP ? old_retire(self, &in.edit) : 0;
        if (in.edit.put != tsu_group_word(in.group) && in.group != NULL) tsu_group_destroy(self, in.group);
        else if (in.group != NULL) old_bytes -= tsu_slab_round(sizeof(tsu_group));
    }
    tsu_tally_add(self, c, 1, weight - (int64_t)old_bytes, handles);
    return TSU_OK;
}

tsu_status tsu_insert(tsu_thread *self, tsu_table *table, const uint8_t *object, size_t len)
{
    bool inserted;

    return insert_one(self, table, object, len, false, &inserted);
}

tsu_status tsu_insert_new(tsu_thread *self, tsu_table *table, const uint8_t *object, size_t len, bool *inserted)
{
    return insert_one(self, table, object, len, true, inserted);
}

/* --- removing -------------------------------------------------------------------------------- */
static tsu_verdict remove_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    (void)edit;
    (void)self;
    return current == 0 ? TSU_EDIT_KEEP : TSU_EDIT_REMOVE;
}

static int64_t handles_of(uint64_t word)
{
    const tsu_record *r = tsu_version_newest(word);
    int64_t           n = 0;

    for (; r != NULL; r = tsu_record_older(r)) n += tsu_record_handles(r);
    return n;
}

/* A traversal of a fixed hash table may go on from a key that is gone: it is remembered till the table is unfixed. Short of
 * memory it is not, and such a traversal fails with badarg. */
static void ghost_add(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len)
{
    uint8_t              room[128];
    tsu_writer           w;
    tsu_object_mark      mark;
    struct tsu_contents *g = (struct tsu_contents *)(uintptr_t)tsu_load_acquire(&table->ghosts), *fresh;
    uint64_t             expected = 0;
    struct insert        in = {.type = TSU_SET};
    tsu_key              k;

    if (g == NULL) {
        if (tsu_contents_create(self, &tsu_kind_hash, 1, &fresh) != TSU_OK) return;
        if (tsu_cas(&table->ghosts, &expected, (uint64_t)(uintptr_t)fresh)) {
            g = fresh;
        } else {
            tsu_contents_release(self, fresh);
            g = (struct tsu_contents *)(uintptr_t)expected;
        }
    }
    tsu_writer_init(&w, room, sizeof room);
    tsu_write_object_begin(&w, 1, &mark);
    tsu_write_bytes(&w, key, len);
    tsu_write_object_end(&w, 1, &mark);
    in.record = w.status == TSU_OK ? tsu_record_create(self, w.bytes, w.len) : NULL;
    tsu_writer_deinit(&w);
    if (in.record == NULL) return;
    in.edit.decide = insert_decide;
    key = tsu_object_key(in.record->object, 1, &len);
    tsu_table_key(&k, &tsu_kind_hash, key, len);
    if (tsu_kind_hash.edit(self, g->root, &k, &in.edit) != TSU_OK) tsu_record_discard(self, in.record);
    else if (in.edit.old != 0) (void)tsu_version_retire(self, in.edit.old);
}

/* One by one: see insert_one. */
static inline void edit_remove(tsu_edit *edit, const tsu_table *table,
                               tsu_verdict (*decide)(tsu_edit *edit, tsu_thread *self, uint64_t current))
{
    edit->decide = decide;
    edit->chained = false;
    edit->exact = tsu_table_is_bag(table);
    edit->entry = NULL;
}

static tsu_status remove_key(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_edit *edit,
                             tsu_object_fn fn, void *ctx)
{
    struct tsu_contents *c = tsu_table_contents(table);
    tsu_status           status = tsu_contents_edit(self, c, key, len, edit);
    uint64_t             old = edit->old;
    int64_t              count, handles;
    size_t               bytes;

    if (status == TSU_OK && edit->verdict == TSU_EDIT_FAIL) return edit->status;
    if (status != TSU_OK || edit->verdict != TSU_EDIT_REMOVE) return status;
    if (table->type != TSU_ORDERED_SET && tsu_load_acquire(&table->fixed) != 0) ghost_add(self, table, key, len);
    count = (int64_t)tsu_version_count(old);
    if (fn != NULL) show(old, fn, ctx);
    if (TSU_LIKELY(count == 1 && (old & TSU_CELL_KIND) == TSU_CELL_RECORD)) {
        handles = tsu_record_handles(tsu_version_newest(old));
        bytes = old_retire(self, edit);
    } else {
        /* those of many would have to be counted one by one */
        handles = tally_sum(c, offsetof(struct tsu_tally, handles)) != 0 ? handles_of(old) : 0;
        bytes = edit->kept ? tsu_version_bytes(old) : tsu_version_retire_all(self, old);
    }
    tsu_tally_add(self, c, -count, -(int64_t)bytes, -handles);
    return TSU_OK;
}

struct remove_part {
    tsu_edit edit;
    uint64_t stamp;
};

static tsu_verdict remove_part_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    (void)self;
    return tsu_word_stamp(current) == ((const struct remove_part *)edit)->stamp ? TSU_EDIT_REMOVE : TSU_EDIT_KEEP;
}

tsu_status tsu_take_part(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, const tsu_part *part)
{
    struct remove_part r;
    tsu_status         status;

    if (part->stamp == 0) return TSU_GONE;
    edit_remove(&r.edit, table, remove_part_decide);
    r.stamp = part->stamp;
    status = remove_key(self, table, key, len, &r.edit, NULL, NULL);
    return status == TSU_OK && r.edit.verdict != TSU_EDIT_REMOVE ? TSU_GONE : status;
}

tsu_status tsu_delete(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len)
{
    tsu_edit edit;

    edit_remove(&edit, table, remove_decide);
    return remove_key(self, table, key, len, &edit, NULL, NULL);
}

tsu_status tsu_take(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_object_fn fn, void *ctx)
{
    tsu_edit edit;

    edit_remove(&edit, table, remove_decide);
    return remove_key(self, table, key, len, &edit, fn, ctx);
}

struct remove_few {
    tsu_edit edit;
    uint64_t objects_max;
    bool     more;
};

static tsu_verdict remove_few_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    struct remove_few *r = (struct remove_few *)edit;

    r->more = tsu_version_count(current) > r->objects_max;
    return r->more ? TSU_EDIT_KEEP : remove_decide(edit, self, current);
}

tsu_status tsu_take_few(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, uint64_t objects_max, bool *more,
                        tsu_object_fn fn, void *ctx)
{
    struct remove_few r;
    tsu_status        status;

    edit_remove(&r.edit, table, remove_few_decide);
    r.objects_max = objects_max;
    r.more = false;
    status = remove_key(self, table, key, len, &r.edit, fn, ctx);
    *more = status == TSU_OK && r.more;
    return status;
}

/* --- read, compute, write ---------------------------------------------------------------------- */
struct update_edit {
    tsu_edit       edit;
    tsu_update    *update;
    const uint8_t *object;
    size_t         len;
    tsu_record    *record;
};

static tsu_verdict update_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    struct update_edit *u = (struct update_edit *)edit;
    tsu_verdict         v;

    if (u->record != NULL) {
        u->update->unused(u->update, u->record->object);
        tsu_record_discard(self, u->record);
        u->record = NULL;
    }
    u->update->hits = 0;
    v = u->update->fn(u->update, current != 0 ? tsu_version_object(current) : NULL, &u->object, &u->len);
    if (v != TSU_EDIT_PUT) {
        edit->status = TSU_OK;
        return v;
    }
    u->record = tsu_record_create(self, u->object, u->len);
    if (u->record == NULL) {
        u->update->unused(u->update, u->object);
        edit->status = TSU_NOMEM;
        return TSU_EDIT_FAIL;
    }
    edit->put = tsu_record_word(u->record);
    return TSU_EDIT_PUT;
}

/* The same of a bag: of each object of the key. What stays and is older than the last that changes stays where it is. */
struct bag_edit {
    tsu_edit    edit;
    tsu_update *update;
    tsu_record *made, *last;      /* the new chain: its newest; its oldest that is no part of the old one */
    uint64_t    made_count;
    tsu_record *shared;           /* where the new chain goes on in the old one */
    tsu_group  *group;
};

static void made_destroy(tsu_thread *self, struct bag_edit *b)
{
    for (; b->made_count > 0; b->made_count--) {
        tsu_record *r = b->made;

        b->made = tsu_record_older(r);
        tsu_record_destroy(self, r);
    }
    b->made = b->last = NULL;
}

static bool made_add(struct bag_edit *b, tsu_record *r)
{
    if (r == NULL) return false;
    tsu_record_chain(r, NULL);
    if (b->last != NULL) tsu_record_chain(b->last, r);
    else b->made = r;
    b->last = r;
    b->made_count++;
    return true;
}

/* Adds copies of the records from b->shared to `end`, which is not one of them. */
static bool shared_copy(tsu_thread *self, struct bag_edit *b, tsu_record *end)
{
    tsu_record *r = b->shared;

    b->shared = NULL;
    for (; r != NULL && r != end; r = tsu_record_older(r))
        if (!made_add(b, tsu_record_copy(self, r))) return false;
    return true;
}

static tsu_verdict bag_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    struct bag_edit *b = (struct bag_edit *)edit;
    uint64_t         left = tsu_version_count(current);
    int64_t          bytes = 0;
    bool             changed = false;
    const uint8_t   *object;
    size_t           len;
    tsu_record      *r;

    made_destroy(self, b);
    b->shared = NULL;
    b->update->hits = 0;
    edit->chained = false;
    edit->status = TSU_OK;
    if (current == 0) return TSU_EDIT_KEEP;
    for (r = tsu_version_newest(current); r != NULL; r = tsu_record_older(r)) {
        tsu_verdict v = b->update->fn(b->update, r->object, &object, &len);

        if (v == TSU_EDIT_FAIL) return v;
        if (v == TSU_EDIT_KEEP) {
            if (b->shared == NULL) b->shared = r;
            continue;
        }
        changed = true;
        bytes -= (int64_t)tsu_record_weight(r);
        if (v == TSU_EDIT_PUT) {
            tsu_record *made = tsu_record_create(self, object, len);

            if (made == NULL) b->update->unused(b->update, object);
            if (made == NULL || !shared_copy(self, b, r)) {
                tsu_record_destroy(self, made);
                goto nomem;
            }
            (void)made_add(b, made);
            bytes += (int64_t)tsu_record_weight(made);
        } else {
            left--;
            if (!shared_copy(self, b, r)) goto nomem;
        }
    }
    if (!changed) return TSU_EDIT_KEEP;
    if (left == 0) return TSU_EDIT_REMOVE;
    /* What becomes the newest, or stays alone, must be a record that has not been that before, even if it is the oldest and could stay
     * where it is: it must not be in two chains with two headers. */
    if (b->made == NULL) {
        r = b->shared;
        if (!made_add(b, tsu_record_copy(self, r))) goto nomem;
        b->shared = tsu_record_older(r);
    }
    if (b->shared != NULL) tsu_record_chain(b->last, b->shared);
    if (left == 1 || ((current & TSU_CELL_KIND) == TSU_CELL_RECORD && !tsu_edit_keeps(edit))) {
        edit->chained = left > 1;
        if (edit->chained) tsu_record_top(b->made, tsu_record_older(b->made), left, tsu_chain_large(b->made));
        edit->put = tsu_record_word(b->made);
        return TSU_EDIT_PUT;
    }
    if (b->group == NULL && (b->group = tsu_group_create(self, NULL, 0, 0)) == NULL) goto nomem;
    tsu_group_newest_set(b->group, b->made);
    b->group->object_count = left;
    b->group->bytes = (uint64_t)((int64_t)tsu_version_bytes(current) + bytes)
                      + ((current & TSU_CELL_KIND) == TSU_CELL_RECORD ? tsu_slab_round(sizeof(tsu_group)) : 0);
    edit->put = tsu_group_word(b->group);
    return TSU_EDIT_PUT;
nomem:
    edit->status = TSU_NOMEM;
    return TSU_EDIT_FAIL;
}

static tsu_status bag_update(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_update *update,
                             tsu_verdict *verdict)
{
    struct tsu_contents *c = tsu_table_contents(table);
    struct bag_edit      b = {.update = update, .edit = {.decide = bag_decide, .exact = true}};
    tsu_status           status = tsu_contents_edit(self, c, key, len, &b.edit);
    int64_t              objects, bytes, handles;
    uint64_t             old = b.edit.old;

    *verdict = b.edit.verdict;
    if (status == TSU_OK && *verdict == TSU_EDIT_FAIL) status = b.edit.status;
    if (status != TSU_OK || *verdict != TSU_EDIT_PUT) made_destroy(self, &b);
    if (b.group != NULL && (status != TSU_OK || *verdict != TSU_EDIT_PUT || b.edit.put != tsu_group_word(b.group)))
        tsu_group_destroy(self, b.group);
    if (status != TSU_OK || (*verdict != TSU_EDIT_PUT && *verdict != TSU_EDIT_REMOVE)) return status;
    objects = (int64_t)tsu_version_count(old);
    bytes = (int64_t)tsu_version_bytes(old);
    handles = handles_of(old);
    if (*verdict == TSU_EDIT_PUT) {
        objects -= (int64_t)tsu_version_count(b.edit.put);
        bytes -= (int64_t)tsu_version_bytes(b.edit.put);
        handles -= handles_of(b.edit.put);
    } else if (tsu_load_acquire(&table->fixed) != 0) {
        ghost_add(self, table, key, len);
    }
    if (b.edit.kept) {
        /* it stays as it is */
    } else if (*verdict == TSU_EDIT_PUT && b.shared != NULL) {
        (void)tsu_chain_retire(self, tsu_version_newest(old), b.shared);
        if ((old & TSU_CELL_KIND) == TSU_CELL_GROUP) (void)tsu_version_retire(self, old);
    } else {
        (void)tsu_version_retire_all(self, old);
    }
    tsu_tally_add(self, c, -objects, -bytes, -handles);
    return TSU_OK;
}

tsu_status tsu_table_update(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_update *update,
                            tsu_verdict *verdict)
{
    struct tsu_contents *c = tsu_table_contents(table);
    struct update_edit   u;
    int64_t              bytes = 0, handles = 0;
    tsu_status           status;

    if (tsu_table_is_bag(table)) return bag_update(self, table, key, len, update, verdict);
    u.edit.decide = update_decide;
    u.edit.chained = false;
    u.edit.exact = false;
    u.edit.entry = NULL;
    u.update = update;
    u.record = NULL;
    status = tsu_contents_edit(self, c, key, len, &u.edit);
    if (status == TSU_OK && u.edit.verdict == TSU_EDIT_FAIL) status = u.edit.status;
    if (status != TSU_OK && u.record != NULL) {
        update->unused(update, u.record->object);
        tsu_record_discard(self, u.record);
    }
    if (status != TSU_OK) return status;
    *verdict = u.edit.verdict;
    if (u.edit.verdict != TSU_EDIT_PUT && u.edit.verdict != TSU_EDIT_REMOVE) return TSU_OK;
    if (u.edit.old != 0) {
        handles = -tsu_record_handles(tsu_version_newest(u.edit.old));
        bytes = -(int64_t)old_retire(self, &u.edit);
    }
    if (u.edit.verdict == TSU_EDIT_PUT) {
        bytes += (int64_t)tsu_slab_round(tsu_record_bytes(u.len));
        handles += tsu_record_handles(u.record);
    } else if (table->type != TSU_ORDERED_SET && tsu_load_acquire(&table->fixed) != 0) {
        ghost_add(self, table, key, len);
    }
    tsu_tally_add(self, c, (u.edit.verdict == TSU_EDIT_PUT) - (u.edit.old != 0), bytes, handles);
    return TSU_OK;
}

struct same_object {
    tsu_update     update;
    const uint8_t *object;
};

static tsu_verdict same_remove(tsu_update *update, const uint8_t *old, const uint8_t **out, size_t *out_len)
{
    (void)out;
    (void)out_len;
    return old != NULL && tsu_object_same(old, ((struct same_object *)update)->object) ? TSU_EDIT_REMOVE : TSU_EDIT_KEEP;
}

tsu_status tsu_delete_object(tsu_thread *self, tsu_table *table, const uint8_t *object, size_t len)
{
    struct same_object s = {.update = {.fn = same_remove}, .object = object};
    size_t             key_len;
    const uint8_t     *key = tsu_object_key(object, table->keypos, &key_len);
    tsu_verdict        verdict;

    (void)len;
    return tsu_table_update(self, table, key, key_len, &s.update, &verdict);
}

struct patch_edit {
    tsu_edit    edit;
    tsu_patch  *patch;
    tsu_record *record;          /* a private one, which nobody has seen yet */
    size_t      len, old_len;    /* of its object, and of that which it is made from */
};

static void patch_undo(tsu_thread *self, struct patch_edit *e)
{
    if (e->record != NULL) tsu_slab_free(self, e->record, tsu_record_bytes(e->len));
    e->record = NULL;
}

static tsu_verdict patch_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    struct patch_edit *e = (struct patch_edit *)edit;
    tsu_patch         *patch = e->patch;
    tsu_spot           spot;
    uint64_t           word;
    const uint8_t     *term = NULL;
    size_t             size, len;
    int64_t            value;

    if (TSU_UNLIKELY(e->record != NULL)) patch_undo(self, e);
    patch->absent = current == 0;
    if (current == 0 || !tsu_object_spot(tsu_version_object(current), patch->pos, &spot)) return TSU_EDIT_KEEP;
    if (patch->add) {
        if (!tsu_spot_int64(&spot, &value)) return TSU_EDIT_KEEP;
        if (__builtin_add_overflow(value, patch->number, &patch->sum)) return TSU_EDIT_KEEP;
        if (patch->limited && (patch->number < 0 ? patch->sum < patch->limit : patch->sum > patch->limit))
            patch->sum = patch->restart;
        size = tsu_int_word(patch->sum, &word);
        if (size > 8) return TSU_EDIT_KEEP;
    } else {
        word = patch->word;
        term = patch->term;
        size = patch->len;
    }
    len = tsu_spot_len(&spot, size);
    if (len == 0) return TSU_EDIT_KEEP;
    e->record = tsu_slab_alloc(self, tsu_record_bytes(len));
    if (e->record == NULL) return TSU_EDIT_KEEP;
    tsu_spot_write(&spot, word, term, size, e->record->object);
    e->len = len;
    e->old_len = spot.len;
    edit->put = tsu_record_word(e->record);
    return TSU_EDIT_PUT;
}

bool tsu_table_patch(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_patch *patch)
{
    struct tsu_contents *c = tsu_table_contents(table);
    struct patch_edit    e;
    size_t               old_bytes;

    patch->absent = false;
    if (tsu_table_is_bag(table)) return false;
    e.edit.decide = patch_decide;      /* one by one: see insert_one */
    e.edit.chained = false;
    e.edit.exact = false;
    e.edit.entry = NULL;
    e.patch = patch;
    e.record = NULL;
    if (tsu_contents_edit(self, c, key, len, &e.edit) != TSU_OK) {
        patch_undo(self, &e);
        return false;
    }
    if (TSU_UNLIKELY(e.edit.verdict == TSU_EDIT_FAIL)) patch_undo(self, &e);
    if (e.edit.verdict != TSU_EDIT_PUT) return false;
    old_bytes = old_retire(self, &e.edit);
    if (e.len != e.old_len)
        tsu_tally_add(self, c, 0, (int64_t)tsu_slab_round(tsu_record_bytes(e.len)) - (int64_t)old_bytes, 0);
    return true;
}

/* --- all keys -------------------------------------------------------------------------------- */
tsu_status tsu_clear(tsu_thread *self, tsu_table *table) { return tsu_clear_keep(self, table, NULL); }

tsu_status tsu_clear_keep(tsu_thread *self, tsu_table *table, struct tsu_contents **cleared)
{
    struct tsu_contents *fresh, *old;
    tsu_status           status = tsu_contents_create(self, table->kind, table->keypos, &fresh);
    uint64_t             head;

    if (status != TSU_OK) return status;
    old = (struct tsu_contents *)(uintptr_t)tsu_exchange(&table->contents, (uint64_t)(uintptr_t)fresh);
    if (cleared != NULL) {
        tsu_fetch_add(&old->references, 1);
        *cleared = old;
    }
    if (table->type == TSU_ORDERED_SET || tsu_load_acquire(&table->fixed) == 0) {
        tsu_contents_release(self, old);
        return TSU_OK;
    }
    /* all of its keys are ghosts now: behind the first of the list, which takes further ones */
    if (tsu_contents_create(self, &tsu_kind_hash, 1, &fresh) != TSU_OK) {
        tsu_contents_release(self, old);
        return TSU_OK;
    }
    head = tsu_load_acquire(&table->ghosts);
    do {
        old->next = (struct tsu_contents *)(uintptr_t)head;
        fresh->next = old;
    } while (!tsu_cas(&table->ghosts, &head, (uint64_t)(uintptr_t)fresh));
    return TSU_OK;
}

struct walk {
    tsu_object_fn fn;
    void         *ctx;
};

static bool walk_visit(void *ctx, uint64_t word)
{
    struct walk *w = ctx;

    return show(word, w->fn, w->ctx);
}

void tsu_walk_versions(tsu_thread *self, tsu_table *table, const uint8_t *from, size_t len, tsu_direction direction,
                       size_t budget, tsu_visit_fn visit, void *ctx, bool *done)
{
    tsu_key k;

    if (from != NULL) tsu_table_key(&k, table->kind, from, len);
    table->kind->walk(self, tsu_table_contents(table)->root, from != NULL ? &k : NULL, direction, budget, visit, ctx, done);
}

bool tsu_walk_many(tsu_thread *self, tsu_table *table, const uint8_t *from, size_t len, size_t budget, tsu_visit_many_fn visit,
                   void *ctx, bool *done)
{
    tsu_key k;

    if (table->kind->walk_many == NULL) return false;
    if (from != NULL) tsu_table_key(&k, table->kind, from, len);
    table->kind->walk_many(self, tsu_table_contents(table)->root, from != NULL ? &k : NULL, budget, visit, ctx, done);
    return true;
}

void tsu_walk(tsu_thread *self, tsu_table *table, const uint8_t *from, size_t len, tsu_direction direction,
              size_t budget, tsu_object_fn fn, void *ctx, bool *done)
{
    struct walk w = {fn, ctx};

    tsu_walk_versions(self, table, from, len, direction, budget, walk_visit, &w, done);
}

struct step {
    struct walk walk;
    bool        found;
};

static bool step_visit(void *ctx, uint64_t word)
{
    struct step *s = ctx;

    s->found = true;
    show(word, s->walk.fn, s->walk.ctx);
    return false;
}

/* Deleted while the table was fixed, or cleared then. */
static bool is_ghost(tsu_thread *self, tsu_table *table, const tsu_key *k)
{
    struct tsu_contents *g = (struct tsu_contents *)(uintptr_t)tsu_load_acquire(&table->ghosts);

    for (; g != NULL; g = g->next)
        if (tsu_cell_holds_version(g->kind->find(self, g->root, k))) return true;
    return false;
}

void tsu_step(tsu_thread *self, tsu_table *table, const uint8_t *from, size_t len, tsu_direction direction,
              tsu_object_fn fn, void *ctx, bool *found, bool *present)
{
    struct tsu_contents *c = tsu_table_contents(table);
    struct step          s = {{fn, ctx}, false};
    bool                 done;
    uint64_t             word;
    tsu_key              k;

    if (table->kind->next == NULL) {
        if (from != NULL) tsu_table_key(&k, table->kind, from, len);
        *present = false;
        /* one step: that does not count those on which nothing was seen yet */
        table->kind->walk(self, c->root, from != NULL ? &k : NULL, direction, 1, step_visit, &s, &done);
        *found = s.found;
        return;
    }
    k.bytes = from;
    k.len = len;
    word = table->kind->next(self, c->root, from != NULL ? &k : NULL, present);
    if (from != NULL && !*present) {
        tsu_table_key(&k, table->kind, from, len);
        *present = is_ghost(self, table, &k);
    }
    *found = tsu_cell_holds_version(word) && (from == NULL || *present);
    if (*found) show(word, fn, ctx);
}

bool tsu_step_trail(tsu_thread *self, tsu_table *table, tsu_direction direction, tsu_trail *trail)
{
    return table->kind->trail != NULL && table->kind->trail(self, tsu_table_contents(table)->root, direction, trail);
}

void tsu_slot(tsu_thread *self, tsu_table *table, uint64_t index, tsu_object_fn fn, void *ctx, int *past)
{
    struct walk w = {fn, ctx};

    table->kind->slot(self, tsu_table_contents(table)->root, index, walk_visit, &w, past);
}

tsu_status tsu_table_fix(tsu_thread *self, tsu_table *table)
{
    (void)self;
    tsu_fetch_add(&table->fixed, 1);
    return TSU_OK;
}

void tsu_table_unfix(tsu_thread *self, tsu_table *table)
{
    if (tsu_fetch_add(&table->fixed, (uint64_t)-1) == 1) ghosts_release(self, table);
}
