/* matchbound.c: what a clause says of keys, as bounds: one walk over the key's pattern for each. */
#include "term/matchplan_inner.h"
#include "term/matchspec_inner.h"
#include "term/order.h"

raw_bound tsu_plan_bound_put(planner *pl, const uint8_t *bytes, size_t len, bool open)
{
    raw_bound b = {pl->bytes.len, 0, open};

    tsu_write_bytes(&pl->bytes, bytes, len);
    tsu_ms_key_close(&pl->bytes, b.at);         /* as a table has it */
    b.len = pl->bytes.len - b.at;
    return b;
}

/* ---- Guards ---- */

static void guard_add(planner *pl, const tsu_ms_bound *b)
{
    uint8_t        buffer[9];
    const uint8_t *term = b->term;
    guard         *g = &pl->guard[pl->guards];

    if (pl->guards == GUARDS_MAX || (b->says == TSU_MS_COMPARES && (b->op == TSU_NE || b->op == TSU_DIFFER))) return;
    g->b = *b;
    g->at = pl->values.len;
    if (b->says == TSU_MS_COMPARES) {
        if (term == NULL) {
            (void)tsu_int_put(buffer, b->i);
            term = buffer;
        }
        tsu_write_bytes(&pl->values, term, tsu_term_len(term));
        tsu_ms_key_close(&pl->values, g->at);
    }
    g->len = pl->values.len - g->at;
    pl->guards++;
}

bool tsu_plan_next_prefix(const uint8_t *bytes, size_t size, tsu_writer *w)
{
    while (size > 0 && bytes[size - 1] == 0xff) size--;
    if (size == 0) return false;
    tsu_write_binary(w, bytes, size);
    if (w->status == TSU_OK) w->bytes[w->len - 1]++;
    return true;
}

/* From that prefix on, and below the next. */
static void guard_add_prefix(planner *pl, const tsu_ms_bound *b)
{
    tsu_ms_bound   bound = *b;
    const uint8_t *p = b->term;
    uint8_t        buffer[256];
    tsu_writer     w;
    tsu_token      t;

    tsu_term_next(&p, &t);
    bound.says = TSU_MS_COMPARES;
    bound.op = TSU_GE;
    guard_add(pl, &bound);
    tsu_writer_init(&w, buffer, sizeof buffer);
    bound.op = TSU_LT;
    if (tsu_plan_next_prefix(tsu_token_bytes(&t), (size_t)t.size, &w)) {
        bound.term = w.bytes;
        if (w.status == TSU_OK) guard_add(pl, &bound);
        else pl->bytes.status = w.status;
    }
    tsu_writer_deinit(&w);
}

void tsu_plan_guards_read(planner *pl, size_t keypos)
{
    tsu_ms_bound b;
    size_t       at = 0;

    pl->guards = 0;
    tsu_writer_reset(&pl->values);
    while (tsu_ms_clause_bound(pl->ms, pl->clause, keypos, &at, &b)) {
        if (b.says == TSU_MS_BEGINS) guard_add_prefix(pl, &b);
        else guard_add(pl, &b);
    }
    if (pl->values.status != TSU_OK) pl->bytes.status = pl->values.status;
}

/* ---- What a clause says of the key ---- */

/* A bound being written, the low or the high one. The parts of the key go into it one after the other, as long as its
 * value there may be just that of the bound; behind the first that is larger or smaller, and the first that is open, `rest`. */
typedef struct edge {
    planner *pl;
    bool     high;
    bool     exact;             /* only what is =:= counts */
    uint8_t  rest;              /* LEAST, MOST or 0 */
} edge;

int tsu_plan_steps_beyond(const place *at, const tsu_ms_path *path)
{
    uint32_t        depth = at->depth;
    const uint32_t *step = at->step;

    if (path->of != TSU_MS_OF_KEY) {
        if (at->variable == MS_NO_VARIABLE || path->of != at->variable) return -1;
        depth -= at->since;
        step += at->since;
    }
    if (path->count < depth || memcmp(path->step, step, depth * sizeof *step) != 0) return -1;
    return (int)(path->count - depth);
}

/* What guards say of a part without a pattern. */
typedef struct known {
    const guard *bound;         /* the narrowest; NULL: none */
    int64_t      size;          /* of a tuple, or -1 */
    uint32_t     elements, items;   /* the last that a guard asks for */
    uint64_t     types;
} known;

static known known_of(const edge *e, const place *at)
{
    planner *pl = e->pl;
    known    k = {.size = -1, .types = UINT64_MAX};

    for (size_t i = 0; i < pl->guards; i++) {
        const guard   *g = &pl->guard[i];
        const uint8_t *values = pl->values.bytes;
        int            beyond = tsu_plan_steps_beyond(at, &g->b.path), c = 1;
        uint32_t       step = beyond > 0 ? g->b.path.step[g->b.path.count - (unsigned)beyond] : 0;

        if (beyond < 0) continue;
        if (beyond > 0 && step <= TSU_MS_STEP_MAX) {
            if (step > k.elements) k.elements = step;
        } else if (beyond > 0) {
            step &= TSU_MS_STEP_MAX;
            if (step > k.items) k.items = step;
        } else if (g->b.says == TSU_MS_SIZES) {
            k.size = g->b.i;
        } else if (g->b.says == TSU_MS_TYPES) {
            k.types &= (uint64_t)g->b.i;
        } else if (e->exact ? g->b.op == TSU_SAME : e->high ? says_high(g->b.op) : says_low(g->b.op)) {
            if (k.bound != NULL) c = tsu_term_compare(values + g->at, values + k.bound->at);
            if (e->high) c = k.bound == NULL ? 1 : -c;
            if (c > 0 || (c == 0 && (g->b.op == TSU_LT || g->b.op == TSU_GT))) k.bound = g;
        }
    }
    if (k.elements > SIZE_MAX_GUESSED) k.elements = 0;
    if (k.items > SIZE_MAX_GUESSED) k.items = 0;
    if (k.size < (int64_t)k.elements || k.size > SIZE_MAX_GUESSED) k.size = -1;
    if (k.elements == 0 && (k.types & ~(uint64_t)TYPE_TUPLE) != 0) k.size = -1;
    return k;
}

static void place_put(edge *e, place *at);

/* A part of `at`. */
static void part_put(edge *e, place *at, const uint8_t *pattern, uint32_t step)
{
    place part = *at;

    if (e->rest != 0) {
        tsu_write_byte(&e->pl->bytes, e->rest);
        return;
    }
    part.pattern = pattern;
    part.step[part.depth++] = step;
    place_put(e, &part);
}

static void rest_put(edge *e, uint8_t rest)
{
    e->rest = rest;
    tsu_write_byte(&e->pl->bytes, rest);
}

static void tuple_put(edge *e, place *at, uint32_t size)
{
    tsu_write_tuple_begin(&e->pl->bytes, size);
    for (uint32_t i = 1; i <= size; i++) part_put(e, at, NULL, i);
}

/* The least of a type; as a high bound it is behind the one before it in the order. */
static void edge_of_type(edge *e, uint8_t tag)
{
    tsu_write_byte(&e->pl->bytes, tag);
    if (tag == TSU_TAG_MAP) tsu_write_varint(&e->pl->bytes, 0);
    if (e->high) e->rest = TSU_TAG_LEAST;
}

/* A part of which a type is known: true, if that was of use. */
static bool type_put(edge *e, uint64_t types)
{
    if (types == 0) return false;
    if ((types & ~(uint64_t)TYPE_TUPLE) == 0) edge_of_type(e, e->high ? TSU_TAG_MAP : TSU_TAG_TUPLE0);
    else if ((types & ~(uint64_t)TYPE_MAP) == 0) edge_of_type(e, e->high ? TSU_TAG_NIL : TSU_TAG_MAP);
    else if ((types & ~(uint64_t)TYPE_LIST) == 0) edge_of_type(e, e->high ? TSU_TAG_BINARY0 : TSU_TAG_NIL);
    else if ((types & ~(uint64_t)(TYPE_BINARY | TYPE_BITSTRING)) == 0 && !e->high) edge_of_type(e, TSU_TAG_BINARY0);
    else return false;
    return true;
}

/* A part without a pattern. */
static void unknown_put(edge *e, place *at)
{
    tsu_writer *w = &e->pl->bytes;
    known       k = known_of(e, at);
    size_t      begin = w->len;

    if (at->depth > 0 && k.bound != NULL) {
        tsu_write_bytes(w, e->pl->values.bytes + k.bound->at, k.bound->len);
        if (k.bound->b.op == TSU_GT) e->rest = TSU_TAG_MOST;
        if (k.bound->b.op == TSU_LT) e->rest = TSU_TAG_LEAST;
    } else if (at->depth == DEPTH_MAX) {
        rest_put(e, e->high ? TSU_TAG_MOST : TSU_TAG_LEAST);
    } else if (k.size >= 0) {
        tuple_put(e, at, (uint32_t)k.size);
    } else if (k.elements > 0 && !e->exact) {
        if (e->high) edge_of_type(e, TSU_TAG_MAP);
        else tuple_put(e, at, k.elements);
    } else if (k.items > 0 && !e->exact) {
        for (uint32_t i = 1; i <= k.items; i++) part_put(e, at, NULL, TSU_MS_ITEM | i);
        if (e->rest == 0) e->rest = e->high ? TSU_TAG_MOST : TSU_TAG_LEAST;
        tsu_write_byte(w, e->rest);
        tsu_ms_list_close(w, begin, k.items, true);
    } else if (e->exact || !type_put(e, k.types)) {
        rest_put(e, e->high ? TSU_TAG_MOST : TSU_TAG_LEAST);
    }
}

/* A map may match larger ones, and counts as open. */
static void place_put(edge *e, place *at)
{
    tsu_writer    *w = &e->pl->bytes;
    const uint8_t *p = at->pattern;
    size_t         begin = w->len;
    tsu_token      t = {.kind = TSU_MAP};
    bool           open;

    if (p != NULL) tsu_term_next(&p, &t);
    open = t.kind == TSU_MAP;
    if (p != NULL && t.kind == TSU_ATOM && tsu_ms_is_open(&t)) {
        open = true;
        at->variable = tsu_ms_clause_variable(e->pl->ms, e->pl->clause, t.n);
        at->since = at->depth;
    }
    if (open || (at->depth == DEPTH_MAX && t.children > 0)) {
        unknown_put(e, at);
    } else if (t.kind == TSU_TUPLE) {
        tsu_write_tuple_begin(w, (size_t)t.n);
        for (uint64_t i = 1; i <= t.n; i++, p = tsu_term_end(p)) part_put(e, at, p, (uint32_t)i);
    } else if (t.kind == TSU_LIST) {
        for (uint64_t i = 1; i <= t.n; i++, p = tsu_term_end(p)) part_put(e, at, p, TSU_MS_ITEM | (uint32_t)i);
        if (t.flag) part_put(e, at, p, TSU_MS_TAIL | (uint32_t)t.n);
        tsu_ms_list_close(w, begin, t.n, t.flag);
    } else {
        tsu_write_bytes(w, at->pattern, tsu_term_len(at->pattern));
    }
}

static raw_bound edge_write(edge *e, const uint8_t *pattern)
{
    tsu_writer *w = &e->pl->bytes;
    raw_bound   b = {w->len, 0, false};
    place       root = {.pattern = pattern, .variable = MS_NO_VARIABLE};

    place_put(e, &root);
    if (w->status == TSU_OK && w->len == b.at + 1 && e->rest != 0 && w->bytes[b.at] == e->rest) w->len = b.at;
    tsu_ms_key_close(w, b.at);
    b.len = w->len - b.at;
    b.open = e->rest != 0;
    return b;
}

raw_bound tsu_plan_bound_of_parts(planner *pl, bool high, const uint8_t *pattern)
{
    edge e = {.pl = pl, .high = high};

    return edge_write(&e, pattern);
}

raw_bound tsu_plan_key_of_parts(planner *pl, const uint8_t *pattern)
{
    edge      e = {.pl = pl, .exact = true};
    raw_bound b = edge_write(&e, pattern);

    if (b.open) b.len = 0;
    return b;
}

bool tsu_plan_parts_are_known(const planner *pl, const place *root)
{
    for (size_t i = 0; i < pl->guards; i++) {
        int beyond = tsu_plan_steps_beyond(root, &pl->guard[i].b.path);
        if (beyond > 0 || (beyond == 0 && pl->guard[i].b.says != TSU_MS_COMPARES)) return true;
    }
    return false;
}

static raw_bound elements_write(edge *e, place *root, uint32_t elements)
{
    raw_bound b = {e->pl->bytes.len, 0, false};

    tuple_put(e, root, elements);
    b.len = e->pl->bytes.len - b.at;
    b.open = e->rest != 0;
    return b;
}

bool tsu_plan_family_of_parts(planner *pl, place *root, raw_range *r)
{
    edge   low = {.pl = pl}, each = {.pl = pl, .high = true};
    known  k = known_of(&low, root);
    size_t first;

    if (k.size >= 0 || k.elements == 0 || root->depth > 0) return false;
    r->low = elements_write(&low, root, k.elements);
    r->each = elements_write(&each, root, k.elements);
    if (pl->bytes.status != TSU_OK) return false;
    first = k.elements < 16 ? 1 : 1 + tsu_varint_size(k.elements);
    if (bound_key(pl, &r->low)[first] == TSU_TAG_LEAST && bound_key(pl, &r->each)[first] == TSU_TAG_MOST) return false;
    r->low_fill = low.rest != 0 ? low.rest : TSU_TAG_LEAST;
    r->each_fill = each.rest != 0 ? each.rest : TSU_TAG_MOST;
    r->family = true;
    return true;
}

