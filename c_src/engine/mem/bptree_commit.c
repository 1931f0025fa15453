/* bptree_commit.c: entries of commits, one by one and in runs. */
#include "mem/bptree_node.h"

/* --- one entry ------------------------------------------------------------------------------ */
/* False: memory is short. */
static bool restore_once(tsu_kit *kit, const tsu_key *key, tsu_entry *entry)
{
    tsu_root *root = kit->root;

    for (;;) {
        tsu_tree_place place;
        tsu_leaf_place at;
        uint64_t       word;

        (void)tsu_tree_locate(root, key, 0, false, &place);
        tsu_leaf_search(root, place.content, key, &place.text, &at);
        if (at.cell == NULL) return true;
        word = tsu_load_acquire(at.cell);
        if (tsu_cell_version(word) != tsu_cell_version(entry->word) || !tsu_cell_holds_version(word)) {
            if (!tsu_cell_holds_version(word)) tsu_tree_entry_drop(kit, &place, key, at.cell);
            return true;
        }
        if (word & TSU_CELL_FROZEN) {
            if (tsu_tree_renew(kit, place.node, place.content, key) != TSU_OK) return false;
            continue;
        }
        tsu_cell_restore(kit->self, at.cell, word, at.aux, TSU_CELL_CLOSED);
        /* its key came with it, and nobody else will count the entry */
        if (tsu_leaf_cell_dead(tsu_leaf_cell_load(at.cell))) {
            tsu_tree_entry_drop(kit, &place, key, at.cell);
            return true;
        }
    }
}

bool tsu_tree_restore(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry)
{
    tsu_kit kit;
    bool    done;

    tsu_kit_open(&kit, self, root);
    done = restore_once(&kit, key, entry);
    tsu_kit_close(&kit);
    return done;
}

/* For a late helper: what it has shown has to go before it unpins. Another thread has frozen the leaf, and had what it needs
 * before it began. */
static void hide(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry)
{
    while (!tsu_tree_restore(self, root, key, entry)) tsu_env_yield();
}

tsu_status tsu_tree_install(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry,
                            tsu_install_outcome *outcome, tsu_commit **other)
{
    tsu_status s = TSU_OK;
    tsu_kit    kit;

    tsu_kit_open(&kit, self, root);
    for (;;) {
        /* in this order: what is under the entry, then the content that has or lacks the key, then whether the
         * commit is pending (in tsu_cell_install), then the CAS on what was read */
        uint64_t       under = tsu_load_acquire(&entry->under);
        tsu_tree_place place;
        tsu_leaf_place at;

        (void)tsu_tree_locate(root, key, 0, false, &place);
        tsu_leaf_search(root, place.content, key, &place.text, &at);
        if (at.cell == NULL && (place.content->flags & TSU_TREE_MERGING)) {
            if ((s = tsu_tree_renew(&kit, place.node, place.content, key)) != TSU_OK) break;
            continue;
        }
        *outcome = tsu_cell_install(self, at.cell, 0, at.aux, TSU_CELL_CLOSED, entry, under, other);
        if (*outcome == TSU_INSTALL_VACANT) {
            tsu_leaf_outcome o = tsu_leaf_insert(&kit, place.node, place.content, &at, entry->word);

            if (o == TSU_LEAF_FULL) s = tsu_tree_renew(&kit, place.node, place.content, key);
            if (o == TSU_LEAF_NOMEM) s = TSU_NOMEM;
            if (s != TSU_OK) break;
            continue;
        }
        if (*outcome == TSU_INSTALL_DONE
            && (tsu_load_acquire(&entry->commit->state) & TSU_COMMIT_TAG) == TSU_COMMIT_ABORTED) {
            /* we may be late, and have shown it again after its commit was put right: hide it (E2) */
            *outcome = TSU_INSTALL_STOP;
            tsu_kit_close(&kit);
            hide(self, root, key, entry);
            return TSU_OK;
        }
        if (*outcome != TSU_INSTALL_MOVED) break;
        if (at.cell != NULL && (tsu_leaf_cell_load(at.cell) & TSU_CELL_FROZEN)
            && (s = tsu_tree_renew(&kit, place.node, place.content, key)) != TSU_OK) break;
    }
    tsu_kit_close(&kit);
    return s;
}

/* --- many at once ------------------------------------------------------------------------------ */
/* A run goes into one leaf that has no tail: entries that are absent there in one of three ways.
 *   place    there is room: they become its tail, cell by cell, and at once a content names them all
 *   append   behind a full leaf: it keeps its block and gets no more keys, the run is a new leaf
 *   rework   the cells are frozen, and what lives there and the run go into fresh leaves
 */
#define RUN_MAX   TSU_LEAF_KEYS_MAX
/* A leaf with more is as full as a rewrite would make it. */
#define FULL_ENOUGH (TSU_LEAF_KEYS_MAX - TSU_LEAF_KEYS_MAX / 8)
_Static_assert((255 + RUN_MAX) / FULL_ENOUGH + 1 <= TSU_PARTS_MAX, "a leaf and a run need no more leaves than that");

typedef struct run {
    tsu_kit                *kit;
    tsu_tnode              *node;
    tsu_content            *content;
    struct tsu_commit_item *items;
    unsigned                count;           /* all absent from the content */
    bool                    behind;          /* of all entries */
    uint64_t                mark[RUN_MAX];   /* as the content shows them */
    unsigned                put[RUN_MAX];    /* before which entry of the content */
    bool                    dead[256];       /* entries that have to go, as in a fold */
    unsigned                dropped;
} run;

static tsu_key item_key(const tsu_root *root, const struct tsu_commit_item *item)
{
    return tsu_key_of(root, item->mark, item->entry.word);
}

/* How many of the items belong into the leaf; the first does. */
static unsigned run_length(const tsu_root *root, const tsu_content *c, const struct tsu_commit_item *items,
                           unsigned count)
{
    unsigned n;

    if (c->right == NULL) return count;
    for (n = 1; n < count && items[n].mark < c->fence_mark; n++) { }
    for (; n < count && items[n].mark == c->fence_mark; n++) {
        tsu_key key = item_key(root, &items[n]);

        if (tsu_past_fence(c, &key, false)) break;
    }
    return n;
}

/* Do the items, which belong into the leaf, have its prefix? If not, *key is one that does not. */
static bool run_fits(const tsu_root *root, const tsu_content *c, const struct tsu_commit_item *items, unsigned count,
                     tsu_key *key)
{
    if (c->skip == 0) return true;
    /* the first and the last: then so do those between them */
    for (unsigned i = 0; i < count; i += count > 1 ? count - 1 : 1) {
        tsu_text text = {.len = 0};

        *key = item_key(root, &items[i]);
        if (tsu_prefix_common(c, key, &text) < c->skip) return false;
    }
    return true;
}

/* Where the first of the items go, up to one whose key has a cell. A record is looked at only where marks tie. */
static void run_search(run *r, const tsu_root *root, unsigned count)
{
    const tsu_content *c = r->content;
    unsigned           n = c->count, at = 0;

    memset(r->dead, 0, n);
    r->dropped = 0;
    for (r->count = 0; r->count < count; r->put[r->count++] = at) {
        uint64_t       mark = r->items[r->count].mark;
        tsu_leaf_place place;
        tsu_key        key;
        tsu_text       text = {.len = 0};

        if (c->skip > 0) {
            tsu_seen x;

            key = item_key(root, &r->items[r->count]);
            (void)tsu_key_seen(c, &key, &text, &x);
            mark = x.mark;
        }
        r->mark[r->count] = mark;
        if (at < n && c->marks[at] < mark) at += tsu_marks_below(c->marks + at, n - at, mark);
        if ((at == n || c->marks[at] != mark) && (at == 0 || c->marks[at - 1] != mark)) {
            continue;
        }
        key = item_key(root, &r->items[r->count]);
        tsu_leaf_search(root, c, &key, &text, &place);
        if (place.cell != NULL) break;
        /* one that died between two searches is not compared with any more, and goes */
        if (place.at > at) at = place.at;
        for (unsigned i = place.tie; i < place.tie_end; i++) {
            if (r->dead[i] || !tsu_leaf_cell_dead(tsu_leaf_cell_load(&c->cells[tsu_leaf_index(c)[i]]))) continue;
            r->dead[i] = true;
            r->dropped++;
        }
    }
    r->behind = r->count > 0 && r->put[0] == n && r->dropped == 0;
}

/* Steps 1 to 4 for all of them; fewer are left when one is not to be had. `under` was read before the content. */
static tsu_install_outcome run_ready(run *r, const uint64_t *under)
{
    tsu_install_outcome outcome = TSU_INSTALL_VACANT;
    unsigned            n;

    for (n = 0; n < r->count; n++) {
        outcome = tsu_cell_install(r->kit->self, NULL, 0, 0, TSU_CELL_CLOSED, &r->items[n].entry, under[n], NULL);
        if (outcome != TSU_INSTALL_VACANT) break;
    }
    r->count = n;
    return n > 0 ? TSU_INSTALL_VACANT : outcome;
}

/* Copies entries [from, to) that stay. */
static unsigned keep(const run *r, tsu_content *next, unsigned out, unsigned from, unsigned to)
{
    const tsu_content *c = r->content;
    const uint8_t     *index = tsu_leaf_index(c);

    if (r->dropped == 0) {
        memcpy(next->marks + out, c->marks + from, (to - from) * sizeof(uint64_t));
        memcpy(tsu_leaf_index(next) + out, index + from, to - from);
        return out + to - from;
    }
    for (; from < to; from++) {
        if (r->dead[from]) continue;
        next->marks[out] = c->marks[from];
        tsu_leaf_index(next)[out++] = index[from];
    }
    return out;
}

/* How many inserts in a row were neighbours, if the run is put there too. */
static uint8_t run_goes_on(const run *r)
{
    const tsu_content *c = r->content;

    return r->put[0] != r->put[r->count - 1] ? 0 : tsu_leaf_run(c, r->put[0], r->count);
}

static tsu_leaf_outcome run_place(run *r)
{
    tsu_content *c = r->content, *next;
    unsigned     n = c->count, used = c->used, out = 0, from = 0;
    uint64_t     gone;

    if (used + r->count > c->cap || n - r->dropped + r->count > TSU_LEAF_KEYS_MAX) {
        /* a load in order fills up what it finds */
        if (!r->behind || c->right != NULL || used >= c->cap || n >= TSU_LEAF_KEYS_MAX || c->cap < TSU_LEAF_KEYS_MAX)
            return TSU_LEAF_FULL;
        r->count = c->cap - used < TSU_LEAF_KEYS_MAX - n ? c->cap - used : TSU_LEAF_KEYS_MAX - n;
    }
    next = tsu_leaf_make(r->kit, n - r->dropped + r->count, c->skip, r->dropped == 0 ? tsu_content_bytes(c) : 0);
    if (next == NULL) return TSU_LEAF_NOMEM;
    for (unsigned i = 0; i < r->count; i++, used++) {
        uint64_t unused = 0;

        if (tsu_cas(&c->cells[used], &unused, r->items[i].entry.word | tsu_leaf_tag(r->mark[i]))) continue;
        tsu_content_drop(r->kit, next, false);
        if (i == 0) return unused & TSU_CELL_FROZEN ? TSU_LEAF_FULL : TSU_LEAF_LOST;
        r->count = i;      /* they are in the tree; the others have to be searched anew */
        return TSU_LEAF_DONE;
    }
    TSU_TREE_STEP(TSU_TREE_CLAIMED);
    gone = tsu_content_head_copy(next, c);
    if (r->dropped > 0) tsu_store_relaxed(&next->gone, gone > r->dropped ? gone - r->dropped : 0);
    next->used = (uint8_t)used;
    next->run = run_goes_on(r);
    for (unsigned i = 0; i < r->count; i++) {
        out = keep(r, next, out, from, r->put[i]);
        from = r->put[i];
        next->marks[out] = r->mark[i];
        tsu_leaf_index(next)[out++] = (uint8_t)(c->used + i);
    }
    out = keep(r, next, out, from, n);
    DCHECK(out == next->count);
    if (tsu_node_swing(r->node, c, next)) {
        tsu_leaf_gone_since(c, next, gone);
        tsu_content_retire(r->kit, c, false);
    } else {
        tsu_content_drop(r->kit, next, false);      /* who was faster has named them, or they stay a tail for now */
    }
    return TSU_LEAF_DONE;
}

static tsu_leaf_outcome run_append(run *r)
{
    tsu_root       *root = r->kit->root;
    tsu_content    *c = r->content, *parts[2];
    tsu_leaf_entry  entries[RUN_MAX];
    tsu_key         seps[2] = {{0}, item_key(root, &r->items[0])};
    unsigned        cap = c->right == NULL ? RUN_MAX : tsu_leaf_cap(r->count);

    for (unsigned i = 0; i < r->count; i++) {
        entries[i].mark = r->items[i].mark;
        entries[i].word = r->items[i].entry.word;
    }
    parts[0] = tsu_content_twin(r->kit, c);
    if (parts[0] == NULL) return TSU_LEAF_NOMEM;
    parts[1] = tsu_leaf_build(r->kit, NULL, 0, entries, r->count, cap, NULL, 0);
    if (parts[1] == NULL) {
        tsu_content_drop(r->kit, parts[0], false);
        return TSU_LEAF_NOMEM;
    }
    parts[1]->run = run_goes_on(r);
    /* The fence moves down and the block stays: nobody who knows the old fence may put a key into it, nor has. */
    if (c->used < c->cap && !tsu_leaf_cell_unused(tsu_fetch_or(&c->cells[c->used], TSU_CELL_FROZEN))) {
        tsu_content_drop(r->kit, parts[0], false);
        tsu_content_drop(r->kit, parts[1], true);
        return TSU_LEAF_LOST;
    }
    return tsu_tree_swing_parts(r->kit, r->node, c, parts, seps, 2);
}

/* All keys of the leaf and the run, in order; *first: where the run begins. */
static unsigned merge(const run *r, tsu_leaf_entry *out, unsigned *first)
{
    const tsu_root *root = r->kit->root;
    tsu_leaf_entry  living[256];
    unsigned        n = tsu_leaf_gather(root, r->content, r->content->skip, living, NULL), at = 0, total = 0;

    for (unsigned i = 0; i < r->count; i++) {
        const struct tsu_commit_item *item = &r->items[i];

        for (; at < n && living[at].mark <= r->mark[i]; at++) {
            if (living[at].mark == r->mark[i]) {
                tsu_key key = item_key(root, item);
                size_t  len;

                if (tsu_term_compare(tsu_version_key(living[at].word, root->keypos, &len), key.bytes) > 0) break;
            }
            out[total++] = living[at];
        }
        if (i == 0) *first = total;
        out[total].mark = r->mark[i];
        out[total++].word = item->entry.word;
    }
    while (at < n) out[total++] = living[at++];
    return total;
}

static tsu_leaf_outcome run_rework(run *r)
{
    tsu_content   *c = r->content, *parts[TSU_PARTS_MAX];
    tsu_leaf_entry entries[256 + RUN_MAX];
    const uint8_t *prefix = tsu_content_prefix(c);
    tsu_key        seps[TSU_PARTS_MAX];
    bool           in_order = r->behind && c->right == NULL;      /* leaves full leaves behind */
    uint8_t        goes_on = run_goes_on(r);
    unsigned       total = c->count + r->count, n = total / FULL_ENOUGH + 1, from = 0, first = 0;
    unsigned       more = item_key(r->kit->root, &r->items[0]).exact && c->skip == 0 ? 0 : TSU_TEXT_MAX;

    /* memory first: others wait for what is frozen */
    for (unsigned i = 0; i < n; i++)
        if (!tsu_kit_reserve(r->kit, tsu_leaf_bytes((total + n - 1) / n) + more)
            || !tsu_kit_reserve(r->kit, tsu_leaf_cap((total + n - 1) / n) * sizeof(tsu_word))) return TSU_LEAF_NOMEM;
    if (tsu_node_content(r->node) != c) return TSU_LEAF_LOST;
    tsu_leaf_freeze(c);
    TSU_TREE_STEP(TSU_TREE_FROZEN);
    if (tsu_node_content(r->node) != c || tsu_leaf_tailed(c)) return TSU_LEAF_LOST;      /* a key came: one of the run's? */
    total = merge(r, entries, &first);
    n = in_order ? (total + TSU_LEAF_KEYS_MAX - 1) / TSU_LEAF_KEYS_MAX : total / FULL_ENOUGH + 1;
    for (unsigned i = 0; i < n; i++) {
        unsigned to = in_order ? (i + 1) * TSU_LEAF_KEYS_MAX : total * (i + 1) / n;

        if (to > total) to = total;
        /* as with single inserts: what is before the run stays full */
        if (n == 2 && i == 0 && goes_on >= TSU_RUN_MIN && first > total / 2) to = first;
        if (i > 0) seps[i] = tsu_key_of(r->kit->root, tsu_mark_rebase(prefix, c->skip, 0, entries[from].mark),
                                        entries[from].word);
        parts[i] = tsu_leaf_build(r->kit, prefix, c->skip, entries + from, to - from,
                                  in_order ? TSU_LEAF_KEYS_MAX : tsu_leaf_cap(to - from), NULL, 0);
        if (parts[i] == NULL) {
            while (i > 0) tsu_content_drop(r->kit, parts[--i], true);
            return TSU_LEAF_NOMEM;
        }
        parts[i]->run = goes_on;
        from = to;
    }
    return tsu_tree_swing_parts(r->kit, r->node, c, parts, seps, n);
}

static tsu_leaf_outcome run_insert(run *r)
{
    tsu_leaf_outcome outcome = run_place(r);

    if (outcome != TSU_LEAF_FULL) return outcome;
    if (r->behind && r->content->count > FULL_ENOUGH && (r->content->right == NULL || r->count > RUN_MAX / 2))
        return run_append(r);
    return run_rework(r);
}

/* The first of the items have cells in the content: how many of them could be installed. */
static unsigned run_replace(run *r, unsigned count, const uint64_t *under, tsu_install_outcome *outcome,
                            tsu_word **cell, tsu_commit **other)
{
    const tsu_root *root = r->kit->root;
    unsigned        n;

    for (n = 0; n < count; n++) {
        tsu_key        key = item_key(root, &r->items[n]);
        tsu_leaf_place at;
        tsu_text       text = {.len = 0};

        tsu_leaf_search(root, r->content, &key, &text, &at);
        if (at.cell == NULL) break;
        *cell = at.cell;
        *outcome = tsu_cell_install(r->kit->self, at.cell, 0, at.aux, TSU_CELL_CLOSED, &r->items[n].entry, under[n], other);
        if (*outcome != TSU_INSTALL_DONE) break;
    }
    return n;
}

tsu_status tsu_tree_install_run(tsu_thread *self, tsu_root *root, struct tsu_commit_item *items, size_t count,
                                size_t *installed, tsu_install_outcome *outcome, tsu_commit **other)
{
    uint64_t   retirements = tsu_load_acquire(&tsu_tree_retirements);
    tsu_key    key = item_key(root, items);
    tsu_status s = TSU_OK;
    tsu_kit    kit;
    run        r;
    bool       posted = false, near = true;

    tsu_kit_open(&kit, self, root);
    r.kit = &kit;
    r.items = items;
    *installed = 0;
    do {
        uint64_t       under[RUN_MAX];
        tsu_tree_place place;
        tsu_word      *cell = NULL;
        tsu_key        misfit;
        unsigned       n;

        if (near) tsu_tree_locate_near(self, root, &key, retirements, &place);
        else (void)tsu_tree_locate(root, &key, 0, false, &place);
        near = false;
        if (place.unposted != NULL && !posted) {
            posted = true;
            tsu_tree_post(&kit, 0, place.unposted);
        }
        *outcome = TSU_INSTALL_MOVED;
        r.node = place.node;
        r.content = place.content;
        if (r.content->flags & TSU_TREE_MERGING) {
            s = tsu_tree_renew(&kit, r.node, r.content, &key);
            continue;
        }
        /* in this order: what is under the entries; the content, again, and that it has no tail: who took such a key for
         * absent would forget what another helper has put under its entry; whether the commit is pending (in tsu_cell_install);
         * the CAS on what was read */
        n = run_length(root, r.content, items, count < RUN_MAX ? (unsigned)count : RUN_MAX);
        for (unsigned i = 0; i < n; i++) under[i] = tsu_load_acquire(&items[i].entry.under);
        if (tsu_node_content(r.node) != r.content) continue;
        if (tsu_leaf_tailed(r.content)) {
            tsu_content *next;

            if (tsu_leaf_fold(&kit, r.node, r.content, false, &next) == TSU_LEAF_NOMEM) s = TSU_NOMEM;
            continue;
        }
        if (!run_fits(root, r.content, items, n, &misfit)) {
            s = tsu_tree_renew(&kit, r.node, r.content, &misfit);
            continue;
        }
        run_search(&r, root, n);
        if (r.count == 0) {
            *installed = run_replace(&r, n, under, outcome, &cell, other);
            if (*outcome == TSU_INSTALL_MOVED && *installed == 0 && cell != NULL
                && (tsu_leaf_cell_load(cell) & TSU_CELL_FROZEN)) s = tsu_tree_renew(&kit, r.node, r.content, &key);
        } else if ((*outcome = run_ready(&r, under)) == TSU_INSTALL_VACANT) {
            tsu_leaf_outcome o = run_insert(&r);

            *outcome = TSU_INSTALL_MOVED;
            if (o == TSU_LEAF_DONE) *installed = r.count;
            if (o == TSU_LEAF_NOMEM) s = TSU_NOMEM;
        }
        if (*installed > 0) *outcome = TSU_INSTALL_DONE;
    } while (*outcome == TSU_INSTALL_MOVED && s == TSU_OK);
    tsu_tree_hint(self, root, r.node, NULL, retirements, 0);
    tsu_kit_close(&kit);
    if (*installed > 0 && (tsu_load_seq(&items[0].entry.commit->state) & TSU_COMMIT_TAG) == TSU_COMMIT_ABORTED) {
        /* as in tsu_tree_install */
        for (size_t i = 0; i < *installed; i++) {
            key = item_key(root, &items[i]);
            hide(self, root, &key, &items[i].entry);
        }
        *installed = 0;
        *outcome = TSU_INSTALL_STOP;
    }
    return s;
}
