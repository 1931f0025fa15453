/* bptree_node.c: memory of nodes, and the way down. */
#include "mem/bptree_node.h"

#define PREFETCH_BYTES 640

tsu_word tsu_tree_retirements = {1};

#ifdef TSU_DEBUG
void (*tsu_tree_step_hook)(tsu_tree_step step);
long tsu_tree_fail_after = -1;
#endif

/* --- the kit ------------------------------------------------------------------------ */
void tsu_kit_close(tsu_kit *kit)
{
    for (unsigned i = 0; i < kit->spare_count; i++) {
        tsu_slab_free(kit->self, kit->spare[i].memory, kit->spare[i].bytes);
        kit->delta -= (int64_t)kit->spare[i].bytes;
    }
    kit->spare_count = 0;
    if (kit->delta != 0)
        tsu_count_add(&kit->root->bytes[kit->self->index % TSU_TREE_STRIPES], (uint64_t)kit->delta);
    kit->delta = 0;
}

/* The smallest spare piece of that size, or NULL. */
static void *spare_take(tsu_kit *kit, size_t bytes, size_t max, size_t *got)
{
    unsigned best = kit->spare_count;
    void    *memory;

    for (unsigned i = 0; i < kit->spare_count; i++) {
        if (kit->spare[i].bytes < bytes || kit->spare[i].bytes > max) continue;
        if (best == kit->spare_count || kit->spare[i].bytes < kit->spare[best].bytes) best = i;
    }
    if (best == kit->spare_count) return NULL;
    memory = kit->spare[best].memory;
    *got = kit->spare[best].bytes;
    kit->spare[best] = kit->spare[--kit->spare_count];
    return memory;
}

/* All that the allocator gives for that size, so that bytes are true and blocks use what there is. */
static void *fresh_take(tsu_kit *kit, size_t bytes, size_t *got)
{
    void *memory;

#ifdef TSU_DEBUG
    if (tsu_tree_fail_after == 0) return NULL;
    if (tsu_tree_fail_after > 0) tsu_tree_fail_after--;
#endif
    *got = tsu_slab_round(bytes);
    memory = tsu_slab_alloc(kit->self, *got);
    if (memory != NULL) kit->delta += (int64_t)*got;
    return memory;
}

bool tsu_kit_reserve(tsu_kit *kit, size_t bytes)
{
    void *memory;

    if (kit->spare_count == TSU_KIT_SPARES) return true;
    memory = fresh_take(kit, bytes, &bytes);
    if (memory == NULL) return false;
    kit->spare[kit->spare_count].memory = memory;
    kit->spare[kit->spare_count++].bytes = bytes;
    return true;
}

void *tsu_kit_alloc(tsu_kit *kit, size_t bytes, size_t max, size_t *got)
{
    size_t near = bytes + bytes / 8;      /* a spare that is much too large costs more than it saves */
    void  *memory = spare_take(kit, bytes, near < max ? near : max, got);

    if (memory != NULL) return memory;
    memory = fresh_take(kit, bytes, got);
    return memory != NULL ? memory : spare_take(kit, bytes, max, got);
}

void tsu_kit_free(tsu_kit *kit, void *memory, size_t bytes)
{
    /* kept: whoever lost a race builds the same thing again */
    if (kit->spare_count < TSU_KIT_SPARES) {
        kit->spare[kit->spare_count].memory = memory;
        kit->spare[kit->spare_count++].bytes = bytes;
        return;
    }
    kit->delta -= (int64_t)bytes;
    tsu_slab_free(kit->self, memory, bytes);
}

void tsu_kit_retire(tsu_kit *kit, void *memory, size_t bytes)
{
    kit->delta -= (int64_t)bytes;
    tsu_retire(kit->self, memory, bytes, tsu_slab_free);
}

/* --- making and dropping ---------------------------------------------------------------- */
unsigned tsu_leaf_cap(unsigned n)
{
    unsigned want;

    /* what a table of a few keys needs, without a second block */
    if (n <= 4) return 12;
    if (n < 32) return (n + 15) & ~7u;
    want = (n + n / 8 + 15) & ~15u;
    if (want > TSU_LEAF_KEYS_MAX) want = TSU_LEAF_KEYS_MAX;
    return want < n ? n : want;
}

static tsu_content *content_make(tsu_kit *kit, size_t bytes, unsigned skip, size_t min)
{
    size_t       got;
    tsu_content *c;

    bytes += tsu_prefix_bytes(skip);
    c = tsu_kit_alloc(kit, bytes > min ? bytes : min, (size_t)UINT16_MAX * 8, &got);
    if (c == NULL) return NULL;
    memset(c, 0, sizeof *c);
    c->granules = (uint16_t)(got / 8);
    c->skip = (uint8_t)skip;
    return c;
}

tsu_content *tsu_leaf_make(tsu_kit *kit, unsigned count, unsigned skip, size_t bytes)
{
    tsu_content *c = content_make(kit, tsu_leaf_bytes(count), skip, bytes);

    if (c != NULL) c->count = (uint8_t)count;
    return c;
}

tsu_content *tsu_inner_make(tsu_kit *kit, unsigned level, unsigned count, bool keyed, unsigned skip, size_t bytes)
{
    tsu_content *c = content_make(kit, tsu_inner_bytes(count, keyed), skip, bytes);

    if (c == NULL) return NULL;
    c->level = (uint8_t)level & 31;
    c->count = (uint8_t)count;
    if (keyed) {
        c->flags = TSU_TREE_KEYED;
        memset(tsu_inner_keys(c), 0, count * sizeof(tsu_sep *));
    }
    return c;
}

uint64_t tsu_content_head_copy(tsu_content *next, const tsu_content *c)
{
    uint16_t granules = next->granules;
    uint8_t  count = next->count;
    uint64_t gone = tsu_load_relaxed(&c->gone);

    memcpy(next, c, offsetof(tsu_content, gone));
    next->granules = granules;
    next->count = count;
    tsu_store_relaxed(&next->gone, gone);
    if (c->skip > 0) memcpy(tsu_content_prefix(next), tsu_content_prefix(c), tsu_prefix_bytes(c->skip));
    return gone;
}

tsu_content *tsu_content_twin(tsu_kit *kit, const tsu_content *c)
{
    size_t       bytes = (size_t)(tsu_content_prefix(c) - (const uint8_t *)c);
    tsu_content *twin = content_make(kit, bytes, c->skip, 0);

    if (twin == NULL) return NULL;
    twin->count = c->count;
    (void)tsu_content_head_copy(twin, c);
    memcpy(twin->marks, c->marks, bytes - sizeof *c);
    return twin;
}

tsu_word *tsu_block_make(tsu_kit *kit, unsigned cap, unsigned *got)
{
    size_t    bytes;
    tsu_word *cells = tsu_kit_alloc(kit, cap * sizeof(tsu_word), 254 * sizeof(tsu_word), &bytes);

    if (cells == NULL) return NULL;
    memset(cells, 0, bytes);
    *got = (unsigned)(bytes / sizeof(tsu_word));
    return cells;
}

tsu_tnode *tsu_node_make(tsu_kit *kit, tsu_content *c)
{
    size_t     got;
    tsu_tnode *node = tsu_kit_alloc(kit, sizeof *node, sizeof *node, &got);

    if (node != NULL) tsu_store_relaxed(&node->content, (uint64_t)(uintptr_t)c);
    return node;
}

tsu_sep *tsu_sep_make(tsu_kit *kit, const tsu_key *key, bool *ok)
{
    size_t   bytes = (sizeof(tsu_sep) + key->len + 7) & ~(size_t)7, got;
    tsu_sep *s;

    *ok = true;
    if (key->exact) return NULL;
    s = tsu_kit_alloc(kit, bytes, 2 * bytes + 64, &got);
    if (s == NULL) {
        *ok = false;
        return NULL;
    }
    s->len = (uint32_t)key->len;
    s->held = (uint32_t)got;
    memcpy(s->bytes, key->bytes, key->len);
    return s;
}

void tsu_content_drop(tsu_kit *kit, tsu_content *c, bool block)
{
    if (c == NULL) return;
    if (block && c->cells != NULL) tsu_kit_free(kit, c->cells, c->cap * sizeof(tsu_word));
    tsu_kit_free(kit, c, tsu_content_bytes(c));
}

void tsu_sep_drop(tsu_kit *kit, tsu_sep *s)
{
    if (s != NULL) tsu_kit_free(kit, s, s->held);
}

void tsu_node_drop(tsu_kit *kit, tsu_tnode *node)
{
    if (node != NULL) tsu_kit_free(kit, node, sizeof *node);
}

void tsu_content_retire(tsu_kit *kit, tsu_content *c, bool block)
{
    if (block && c->cells != NULL) tsu_kit_retire(kit, c->cells, c->cap * sizeof(tsu_word));
    tsu_kit_retire(kit, c, tsu_content_bytes(c));
}

void tsu_sep_retire(tsu_kit *kit, tsu_sep *s)
{
    if (s != NULL) tsu_kit_retire(kit, s, s->held);
}

void tsu_node_retire(tsu_kit *kit, tsu_tnode *node)
{
    /* before it can be freed: a thread that pins and then finds the number unchanged may use its hint */
    (void)tsu_fetch_add(&tsu_tree_retirements, 1);
    tsu_kit_retire(kit, node, sizeof *node);
}

/* --- prefixes ----------------------------------------------------------------------------- */
uint64_t tsu_mark_rebase(const uint8_t *prefix, unsigned skip, unsigned fewer, uint64_t mark)
{
    unsigned k = skip - fewer;
    uint8_t  bytes[8] = {0};

    if (k == 0) return mark;
    memcpy(bytes, prefix + fewer, k < 8 ? k : 8);
    return tsu_text_mark(bytes, 0) | (k < 8 ? mark >> (8 * k) : 0);
}

unsigned tsu_text_common(const uint8_t *a, const uint8_t *b, unsigned max)
{
    unsigned n = 0;

    while (n < max && a[n] == b[n]) n++;
    return n;
}

void tsu_key_text(const tsu_key *key, tsu_text *out)
{
    if (!key->exact) {
        tsu_order_text(key->bytes, out);
        return;
    }
    memset(out->bytes, 0, sizeof out->bytes);
    tsu_put64(out->bytes, __builtin_bswap64(key->mark));
    out->len = 8;
    out->whole = true;
}

unsigned tsu_prefix_common(const tsu_content *c, const tsu_key *key, tsu_text *text)
{
    if (c->skip == 0) return 0;
    if (text->len == 0) tsu_key_text(key, text);
    return tsu_text_common(text->bytes, tsu_content_prefix(c), c->skip);
}

int tsu_key_seen_slow(const tsu_content *c, const tsu_key *key, tsu_text *text, tsu_seen *out)
{
    if (text->len == 0) tsu_key_text(key, text);
    out->mark = tsu_text_mark(text->bytes, c->skip);
    out->exact = text->whole && text->len <= c->skip + 8u;
    return memcmp(text->bytes, tsu_content_prefix(c), c->skip);
}

/* --- the way down ------------------------------------------------------------------------- */
unsigned tsu_inner_child(const tsu_content *c, const tsu_key *key, tsu_text *text, bool strict)
{
    unsigned n = c->count, lo, hi;
    tsu_seen x;
    int      side = tsu_key_seen(c, key, text, &x);

    if (TSU_UNLIKELY(side != 0)) return side < 0 ? 0 : n - 1;
    lo = 1 + tsu_marks_below(c->marks + 1, n - 1, x.mark);
    if (lo == n || c->marks[lo] != x.mark) return lo - 1;
    hi = lo + 1;
    while (hi < n && c->marks[hi] == x.mark) hi++;
    while (lo < hi) {
        unsigned       mid = (lo + hi) / 2;
        const tsu_sep *sep = tsu_inner_key(c, mid);
        int            d = x.exact || sep == NULL ? 0 : tsu_term_compare(key->bytes, sep->bytes);

        if (strict ? d > 0 : d >= 0) lo = mid + 1;
        else hi = mid;
    }
    return lo - 1;
}

/* All of a content that the search will probe, at once: one wait for memory in place of four or five, one after another. */
static inline void prefetch(const tsu_content *c)
{
    const char *at = (const char *)c;

    for (unsigned i = 0; i < PREFETCH_BYTES; i += 64) __builtin_prefetch(at + i);
}

/* NULL key: the first, or if strict the last. */
static unsigned child_towards(const tsu_content *c, const tsu_key *key, tsu_text *text, bool strict)
{
    if (key == NULL) return strict ? c->count - 1u : 0;
    return tsu_inner_child(c, key, text, strict);
}

bool tsu_tree_locate(tsu_root *root, const tsu_key *key, unsigned level, bool strict, tsu_tree_place *out)
{
    tsu_tnode   *node;
    tsu_content *c;

restart:
    node = &root->node;
    c = tsu_node_content(node);
    if (c->level < level) return false;
    out->low_known = out->low_none = true;
    out->left = NULL;
    out->text.len = 0;
    for (;;) {
        out->unposted = NULL;
        while (key == NULL ? strict && c->right != NULL : tsu_past_fence(c, key, strict)) {
            out->unposted = c;
            out->low_none = false;
            out->low_mark = c->fence_mark;
            out->low = c->fence;
            out->left = node;
            node = c->right;
            c = tsu_node_content(node);
        }
        if (c->level == level) break;

        unsigned     i = child_towards(c, key, &out->text, strict);
        tsu_tnode   *child = tsu_inner_children(c)[i];
        tsu_content *cc = tsu_node_content(child);

        prefetch(cc);
        while ((cc->flags & TSU_TREE_MERGING) && c->merge != TSU_TREE_COLLAPSE) {
            if (i == 0) goto restart;      /* c is out of date */
            child = tsu_inner_children(c)[--i];
            cc = tsu_node_content(child);
        }
        out->left = NULL;
        if (i > 0) {
            if (strict) out->left = tsu_inner_children(c)[i - 1];
            out->low_none = false;
            out->low_mark = tsu_first_mark(c, i);
            out->low = tsu_inner_key(c, i);
        }
        node = child;
        c = cc;
    }
    out->node = node;
    out->content = c;
    return true;
}
