/* snapshot.c: see snapshot.h. */
#include "mem/snapshot.h"

const struct tsu_snapshot tsu_snapshot_raw;

static size_t node_weight(void) { return tsu_slab_round(sizeof(tsu_node)); }

static void bytes_add(tsu_history *history, int64_t bytes) { tsu_count_add(&history->bytes, (uint64_t)bytes); }

/* --- times ------------------------------------------------------------------------------ */
static uint64_t node_time(tsu_node *node)
{
    uint64_t time = tsu_load_acquire(&node->time), now;

    if (TSU_LIKELY(time != 0)) return time;
    now = tsu_load_seq(&tsu_clock);
    return tsu_cas(&node->time, &time, now) ? now : time;
}

uint64_t tsu_version_time(tsu_version *v)
{
    uint64_t h = tsu_load_acquire(&v->header);

    if ((h & TSU_HEADER_TAG) == TSU_HEADER_UNDECIDED) {
        tsu_version_decide_slow(v, h);
        h = tsu_load_acquire(&v->header);
    }
    switch (h & TSU_HEADER_TAG) {
    case TSU_HEADER_TS:     return h >> TSU_HEADER_TS_SHIFT;
    case TSU_HEADER_PASSED:
    case TSU_HEADER_NODE:   return node_time(tsu_header_node(h));
    }
    return 0;                         /* the top of a chain: older than all snapshots that come */
}

void tsu_version_decide_any(tsu_version *v) { (void)tsu_version_time(v); }

/* --- snapshots --------------------------------------------------------------------------- */
static struct tsu_snapshot *snapshot_at(const tsu_word *link)
{
    return (struct tsu_snapshot *)(uintptr_t)tsu_load_acquire(link);
}

void tsu_history_announce(tsu_history *history, struct tsu_snapshot *s)
{
    uint64_t head = tsu_load_acquire(&history->snapshots);

    tsu_store_relaxed(&s->time, TSU_SNAPSHOT_ANNOUNCED);
    do {
        tsu_store_relaxed(&s->next, head);
    } while (!tsu_cas(&history->snapshots, &head, (uint64_t)(uintptr_t)s));
}

void tsu_history_forget(tsu_history *history, struct tsu_snapshot *s)
{
    uint64_t      head = (uint64_t)(uintptr_t)s, next = tsu_load_relaxed(&s->next);
    tsu_word     *at;

    if (tsu_cas(&history->snapshots, &head, next)) return;
    /* new ones come at the head alone, and nobody else takes any out */
    for (at = &snapshot_at(&history->snapshots)->next; snapshot_at(at) != s; at = &snapshot_at(at)->next) { }
    tsu_store_release(at, next);
}

/* Does any need a version of `time` under one that came at `newer`? */
static bool needed(const tsu_history *history, uint64_t time, uint64_t newer)
{
    const struct tsu_snapshot *s;

    for (s = snapshot_at(&history->snapshots); s != NULL; s = snapshot_at(&s->next)) {
        uint64_t at = tsu_load_acquire(&s->time);

        if (at >= TSU_SNAPSHOT_TAKING || (time <= at && at < newer && !PLANTED(17))) return true;
    }
    return false;
}

bool tsu_history_needs(const tsu_history *history, uint64_t there)
{
    uint64_t h;

    if (there == 0) return false;
    h = tsu_load_acquire(&tsu_cell_version(there)->header);
    /* not what is under it: but then that is looked at once it is under the new one */
    if ((h & TSU_HEADER_TAG) != TSU_HEADER_TS) return true;
    return needed(history, h >> TSU_HEADER_TS_SHIFT, TSU_SNAPSHOT_ANNOUNCED);
}

/* --- what goes ----------------------------------------------------------------------------- */
static void node_retire(tsu_thread *self, tsu_history *history, tsu_node *node)
{
    tsu_retire(self, node, node_weight(), tsu_slab_free);
    bytes_add(history, -(int64_t)node_weight());
    tsu_count_add(&history->nodes, (uint64_t)-1);
}

/* Takes a version's node (V1), and retires it; NULL: there is none. */
static tsu_node *node_take(tsu_thread *self, tsu_history *history, uint64_t word)
{
    tsu_version *v = tsu_cell_version(word);
    uint64_t     h = tsu_load_acquire(&v->header), next;

    while ((h & TSU_HEADER_TAG) == TSU_HEADER_NODE) {
        tsu_node *node = tsu_header_node(h);

        next = tsu_cell_tombstone(word) ? TSU_HEADER_DROPPED                                      /* V3 */
                                        : node_time(node) << TSU_HEADER_TS_SHIFT | TSU_HEADER_TS;
        if (!tsu_cas(&v->header, &h, next)) continue;
        node_retire(self, history, node);
        return node;
    }
    return NULL;
}

/* The node of a version that was taken out between two others. As it leads somewhere it is not taken as one that does not. */
static void node_pass(tsu_thread *self, tsu_history *history, tsu_version *v, tsu_node *node)
{
    uint64_t h = (uint64_t)(uintptr_t)node | TSU_HEADER_NODE;
    bool     mine = tsu_cas(&v->header, &h, (uint64_t)(uintptr_t)node | TSU_HEADER_PASSED);

    DCHECK(mine);
    (void)mine;
    node_retire(self, history, node);
}

static uint64_t link_freeze(tsu_node *node) { return tsu_fetch_or(&node->older, TSU_CELL_FROZEN) & ~TSU_CELL_FROZEN; }

/* How many of a version's objects, from the newest on, `other` does not have. Versions share the older ends of their chains.
 * *end: the one behind them. */
static uint64_t unshared(uint64_t word, uint64_t other, const tsu_record **end)
{
    uint64_t          n = tsu_version_count(word), m = tsu_cell_alive(other) ? tsu_version_count(other) : 0, own = 0;
    const tsu_record *a = tsu_version_newest(word), *b = m > 0 ? tsu_version_newest(other) : NULL;

    *end = NULL;
    if (m == 0) return n;
    for (; m > n; m--) b = tsu_record_older(b);
    for (; n > m; n--, own++) a = tsu_record_older(a);
    for (; n > 0 && a != b; n--, own++) {
        a = tsu_record_older(a);
        b = tsu_record_older(b);
    }
    if (n > 0) *end = a;
    return own;
}

/* What a version takes that neither the one above it has nor the one below; with `retire`, that goes. */
static size_t own_part(tsu_thread *self, uint64_t word, uint64_t above, uint64_t below, bool retire)
{
    const tsu_record *end, *other;
    uint64_t          own, n = tsu_version_count(word);
    size_t            bytes = (word & TSU_CELL_KIND) == TSU_CELL_GROUP ? tsu_slab_round(sizeof(tsu_group)) : 0;

    if (tsu_cell_tombstone(word)) {
        bytes = ((const tsu_group *)tsu_cell_version(word))->bytes;
        return retire ? tsu_version_retire_all(self, word) : bytes;
    }
    own = unshared(word, above, &end);
    if (own > 0 && unshared(word, below, &other) < own) (void)unshared(word, below, &end);
    if (own > 0 && end == NULL) {
        bytes = tsu_version_bytes(word);
        return retire ? tsu_version_retire_all(self, word) : bytes;
    }
    for (const tsu_record *r = tsu_version_newest(word); n > 0 && r != end; r = tsu_record_older(r)) bytes += tsu_record_weight(r);
    if (!retire) return bytes;
    (void)tsu_chain_retire(self, tsu_version_newest(word), end);
    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) (void)tsu_version_retire(self, word);
    return bytes;
}

static void below_retire(tsu_thread *self, tsu_history *history, uint64_t above, tsu_node *node);

/* A group of a commit that is not settled goes with its objects. If the one that was in the cell before is one of them, it goes
 * too, and its settler will not find what is under that. (One that has been passed has no NODE header any more.) */
static void base_cut(tsu_thread *self, tsu_history *history, uint64_t word)
{
    uint64_t base = (word & TSU_CELL_KIND) == TSU_CELL_GROUP ? ((const tsu_group *)tsu_cell_version(word))->base : 0;

    if ((base & TSU_CELL_KIND) == TSU_CELL_RECORD) below_retire(self, history, base, node_take(self, history, base));
}

/* All that is under a version whose node is taken. */
static void below_retire(tsu_thread *self, tsu_history *history, uint64_t above, tsu_node *node)
{
    while (node != NULL) {
        uint64_t          older = tsu_cell_bare(link_freeze(node)), h;
        const tsu_record *end;
        tsu_node         *next;

        if (!tsu_cell_holds_version(older)) return;
        h = tsu_load_acquire(&tsu_cell_version(older)->header);
        if ((h & TSU_HEADER_TAG) == TSU_HEADER_ENTRY && tsu_cas(&tsu_cell_version(older)->header, &h, TSU_HEADER_DROPPED)) {
            /* its settler frees it and what is under it, but not the objects that a group leads to */
            bytes_add(history, -(int64_t)own_part(self, older, above, 0, false));
            base_cut(self, history, older);
            (void)unshared(older, above, &end);
            if ((older & TSU_CELL_KIND) == TSU_CELL_GROUP) (void)tsu_chain_retire(self, tsu_version_newest(older), end);
            return;
        }
        next = node_take(self, history, older);
        bytes_add(history, -(int64_t)own_part(self, older, above, 0, true));
        above = older;
        node = next;
    }
}

/* Nothing is under it any more. */
static bool node_idle(tsu_node *node) { return (tsu_load_acquire(&node->older) & TSU_CELL_KIND) == TSU_CELL_EMPTY; }

/* Takes out what is not needed under a version with that node; and nodes that lead nowhere then. */
static void trim(tsu_thread *self, tsu_history *history, uint64_t above, tsu_node *node)
{
    uint64_t newer = node_time(node), older = tsu_load_acquire(&node->older);

    while (!(older & TSU_CELL_FROZEN) && tsu_cell_holds_version(older)) {
        tsu_version *v = tsu_cell_version(older);
        uint64_t     time, under, h = tsu_load_acquire(&v->header);
        tsu_node    *next;

        if ((h & TSU_HEADER_TAG) == TSU_HEADER_ENTRY) return;         /* not settled: what is under it is not ours */
        time = tsu_version_time(v);
        next = (h & TSU_HEADER_TAG) == TSU_HEADER_NODE ? tsu_header_node(h) : NULL;
        if (needed(history, time, newer)) {
            if (next == NULL) return;
            above = tsu_cell_bare(older);
            node = next;
            if (time < newer) newer = time;
            older = tsu_load_acquire(&node->older);
            continue;
        }
        under = next != NULL ? link_freeze(next) : 0;
        if (!tsu_cas(&node->older, &older, under)) continue;
        if (tsu_cell_holds_version(under)) node_pass(self, history, tsu_cell_version(older), next);
        else (void)node_take(self, history, older);
        bytes_add(history, -(int64_t)own_part(self, tsu_cell_bare(older), above, tsu_cell_bare(under), true));
        older = under;
    }
    /* a tombstone could not do without: V3 */
    if (node_idle(node) && !tsu_cell_tombstone(above)) (void)node_take(self, history, above);
}

void tsu_history_cut_slow(tsu_thread *self, tsu_history *history, uint64_t there)
{
    if ((tsu_load_acquire(&tsu_cell_version(there)->header) & TSU_HEADER_TAG) == TSU_HEADER_ENTRY) base_cut(self, history, there);
    below_retire(self, history, there, node_take(self, history, there));
    if (tsu_cell_tombstone(there)) bytes_add(history, -(int64_t)tsu_version_retire_all(self, there));
}

void tsu_version_destroy_below(tsu_thread *self, uint64_t word)
{
    static tsu_history of_roots_that_go;

    tsu_pin(self);
    below_retire(self, &of_roots_that_go, word, node_take(self, &of_roots_that_go, word));
    tsu_unpin(self);
}

/* --- writers --------------------------------------------------------------------------------- */
static tsu_node *node_create(tsu_thread *self, uint64_t time, uint64_t older)
{
    tsu_node *node = tsu_slab_alloc(self, sizeof *node);

    if (node == NULL) return NULL;
    tsu_store_relaxed(&node->time, time);
    tsu_store_relaxed(&node->older, tsu_cell_bare(older));
    return node;
}

tsu_node *tsu_history_push(tsu_thread *self, uint64_t word, uint64_t there)
{
    tsu_node *node = node_create(self, 0, there);

    if (node != NULL) tsu_store_relaxed(&tsu_cell_version(word)->header, (uint64_t)(uintptr_t)node | TSU_HEADER_NODE);
    return node;
}

void tsu_history_unpush(tsu_thread *self, uint64_t word, tsu_node *node)
{
    tsu_store_relaxed(&tsu_cell_version(word)->header, TSU_HEADER_TS);
    tsu_slab_free(self, node, sizeof *node);
}

/* Whoever may have taken the node and what was under it meanwhile: it is here as long as we are pinned, and he has taken from the
 * accounts what is added now. */
void tsu_history_pushed(tsu_thread *self, tsu_history *history, uint64_t word, uint64_t there, tsu_node *node)
{
    size_t bytes = node_weight();

    (void)node_time(node);
    /* a tombstone has been counted when it came */
    if (!tsu_cell_tombstone(there)) bytes += own_part(self, there, word, 0, false);
    if (tsu_cell_tombstone(word)) bytes += ((const tsu_group *)tsu_cell_version(word))->bytes;
    bytes_add(history, (int64_t)bytes);
    tsu_count_add(&history->nodes, 1);
    trim(self, history, word, node);
}

uint64_t tsu_tombstone_create(tsu_thread *self, uint64_t there)
{
    tsu_record *r = tsu_record_copy(self, tsu_version_newest(there));
    tsu_group  *g;

    if (r == NULL) return 0;
    g = tsu_group_create(self, r, 0, tsu_record_weight(r));
    if (g == NULL) {
        tsu_record_destroy(self, r);
        return 0;
    }
    g->stamp = 0;
    return tsu_group_word(g);
}

void tsu_tombstone_destroy(tsu_thread *self, uint64_t word) { tsu_version_destroy(self, word); }

/* --- commits ---------------------------------------------------------------------------------- */
/* OK: some snapshot is older than a commit of time `ts`, and whoever has replaced what that brought has kept it. GONE: none is:
 * one that is only announced will be later. Who was there before that may have replaced and retired it. */
static tsu_status older_snapshot(const tsu_history *history, uint64_t ts)
{
    const struct tsu_snapshot *s;
    tsu_status                 found = TSU_GONE;

    for (s = snapshot_at(&history->snapshots); s != NULL; s = snapshot_at(&s->next)) {
        uint64_t at = tsu_load_acquire(&s->time);

        if (at == TSU_SNAPSHOT_TAKING) return TSU_AGAIN;
        if (at < ts) found = TSU_OK;
    }
    return found;
}

tsu_status tsu_history_settle(tsu_thread *self, tsu_history *history, uint64_t word, uint64_t under, uint64_t ts, bool *kept)
{
    tsu_version *v = tsu_cell_version(word);
    uint64_t     h = tsu_load_acquire(&v->header), entry;
    tsu_status   older = older_snapshot(history, ts);
    tsu_node    *node;

    if (older == TSU_AGAIN) return TSU_AGAIN;
    under = tsu_cell_holds_version(under) ? tsu_cell_bare(under) : 0;
    *kept = false;
    /* an object that the group has too has gone with the group: base_cut */
    if ((h & TSU_HEADER_TAG) != TSU_HEADER_ENTRY && (word & TSU_CELL_KIND) == TSU_CELL_GROUP
        && (under & TSU_CELL_KIND) == TSU_CELL_RECORD) under = 0;
    if (under != 0) tsu_version_decide_any(tsu_cell_version(under));
    if (under != 0 && older == TSU_OK && tsu_history_needs(history, under)) {
        if ((node = node_create(self, ts, under)) == NULL) return TSU_NOMEM;
        for (entry = h; (entry & TSU_HEADER_TAG) == TSU_HEADER_ENTRY;) {
            if (!tsu_cas(&v->header, &entry, (uint64_t)(uintptr_t)node | TSU_HEADER_NODE)) continue;
            *kept = true;
            tsu_history_pushed(self, history, word, under, node);
            return TSU_OK;
        }
        tsu_slab_free(self, node, sizeof *node);
    }
    if (!tsu_version_settle(word, ts)) (void)tsu_version_retire(self, word);
    tsu_history_cut(self, history, under);
    return TSU_OK;
}

/* --- sweeping ---------------------------------------------------------------------------------- */
bool tsu_history_sweep(tsu_thread *self, tsu_history *history, uint64_t word)
{
    uint64_t h = tsu_load_acquire(&tsu_cell_version(word)->header);
    bool     cell = true;

    while ((h & TSU_HEADER_TAG) == TSU_HEADER_ENTRY) {
        tsu_entry *e = tsu_header_entry(h);

        /* what is under a committed one its settler sees to */
        if ((tsu_load_acquire(&e->commit->state) & TSU_COMMIT_TAG) == TSU_COMMIT_COMMITTED) return false;
        word = tsu_cell_bare(tsu_entry_below(word, e));
        if (!tsu_cell_holds_version(word)) return false;
        h = tsu_load_acquire(&tsu_cell_version(word)->header);
        cell = false;
    }
    if ((h & TSU_HEADER_TAG) != TSU_HEADER_NODE) return false;
    trim(self, history, word, tsu_header_node(h));
    return cell && tsu_cell_tombstone(word) && node_idle(tsu_header_node(h));
}
